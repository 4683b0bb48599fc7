//! The files of `man/monitoring`: they can be read, and name only metrics that the daemon tells.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use l2tpd::admin::display::Form;

use crate::support::admin_report as sample;
use crate::support::python::python;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("man/monitoring").join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The names of all samples, and those that the script for the collector adds.
fn told() -> BTreeSet<String> {
    let text = sample::report().all(Form::Metrics);
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let mut names: BTreeSet<String> =
        samples.map(|line| line.split(['{', ' ']).next().unwrap().to_owned()).collect();
    names.insert("l2tpd_scrape_success".into());
    names
}

/// The words of a text that look like metrics.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("l2tpd_")).map(str::to_owned).collect()
}

#[test]
fn they_name_only_metrics_that_are_told() {
    let told = told();
    for file in ["l2tpd-dashboard.json", "l2tpd-alerts.yml", "l2tpd-textfile"] {
        let named = named(&text(file));
        assert!(!named.is_empty(), "{file} names no metric");
        let unknown: Vec<_> = named.difference(&told).collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
    }
}

/// The page lists every family but those of single counters, and none that is not told.
#[test]
fn the_page_lists_the_metrics() {
    for page in ["man/l2tpctl.8", "man/ja/l2tpctl.8"] {
        let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
        let named = named(&page);
        let unknown: Vec<_> =
            named.iter().filter(|name| !told().contains(*name) && *name != "l2tpd_control").collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        let counter = |name: &str| name.ends_with("_total") && !name.ends_with("changes_total");
        let missing: Vec<_> =
            told().into_iter().filter(|name| !counter(name) && !named.contains(name)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}

#[test]
fn the_dashboard_is_json_with_a_query_in_each_panel() {
    let program = "import json,sys\n\
         d=json.load(sys.stdin)\n\
         p=[p for p in d['panels'] if p['type']!='row']\n\
         assert len({p['id'] for p in d['panels']})==len(d['panels'])\n\
         assert all(t['expr'] and t['refId'] for p in p for t in p['targets']) and all(p['targets'] for p in p)\n\
         cells=[(x,y) for q in d['panels'] for g in [q['gridPos']] for x in range(g['x'],g['x']+g['w']) for y in range(g['y'],g['y']+g['h'])]\n\
         assert len(cells)==len(set(cells)) and max(x for x,_ in cells)<24, 'panels overlap'\n\
         print(len(p))";
    let Some(panels) = python(program, &text("l2tpd-dashboard.json")) else { return };
    assert!(panels.trim().parse::<usize>().unwrap() >= 8, "{panels}");
}

#[test]
fn the_alerts_are_rules() {
    let file = text("l2tpd-alerts.yml");
    // Without a reader of YAML: what each rule must have.
    let rules: Vec<&str> = file.split("- alert: ").skip(1).collect();
    assert!(rules.len() >= 8 && !file.contains('\t'));
    for rule in &rules {
        for key in ["expr: ", "severity: ", "summary: "] {
            assert_eq!(rule.matches(key).count(), 1, "{key} in {rule}");
        }
        let expression = rule.split("expr: ").nth(1).unwrap().lines().next().unwrap();
        for (open, close) in [('(', ')'), ('[', ']'), ('{', '}')] {
            assert_eq!(expression.matches(open).count(), expression.matches(close).count(), "{expression}");
        }
    }
    let program = "import sys,yaml\n\
         r=[r for g in yaml.safe_load(sys.stdin)['groups'] for r in g['rules']]\n\
         assert len({x['alert'] for x in r})==len(r)\n\
         assert all(set(x)<={'alert','expr','for','labels','annotations'} and isinstance(x['expr'],str) for x in r)\n\
         print(len(r))";
    let Some(read) = python(program, &file) else { return };
    assert_eq!(read.trim().parse(), Ok(rules.len()));
}

/// The script turns OpenMetrics into what the collector reads, in one step, and tells when there is no daemon.
#[test]
fn the_collector_reads_what_the_script_writes() {
    let directory = std::env::temp_dir().join(format!("l2tpd-textfile-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let answer = directory.join("answer");
    fs::write(&answer, sample::report().all(Form::Metrics)).unwrap();
    // The client is called as `l2tpctl -s SOCKET metrics`; cat makes of that: these two files, one of them empty.
    fs::write(directory.join("metrics"), "").unwrap();
    let run = || {
        let status = Command::new("sh")
            .arg(path("l2tpd-textfile"))
            .args([&directory, &answer])
            .env("L2TPCTL", "cat")
            .current_dir(&directory)
            .stderr(Stdio::null())
            .status();
        assert!(status.expect("sh").success());
        fs::read_to_string(directory.join("l2tpd.prom")).expect("the file")
    };
    let written = run();
    assert!(written.ends_with("l2tpd_scrape_success 1\n") && !written.contains("# EOF"), "{written}");
    let left: Vec<_> = fs::read_dir(&directory).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
    // The parser of the older format gives each family its type only where name and samples agree.
    let program = "import sys\nfrom prometheus_client.parser import text_string_to_metric_families as p\n\
         f={m.name: m for m in p(sys.stdin.read())}\n\
         assert all(m.type in ('gauge','counter') for m in f.values()), [m for m in f.values()]\n\
         print(f['l2tpd_session_rx_frames'].type, f['l2tpd_tunnel_info'].type, f['l2tpd_tunnel_state'].type)";
    if let Some(types) = python(program, &written) {
        assert_eq!(types, "counter gauge gauge\n");
    }
    fs::remove_file(&answer).unwrap();
    assert!(run().ends_with("l2tpd_scrape_success 0\n"));
    fs::remove_dir_all(&directory).unwrap();
}
