//! `l2tpd -n`: every error of the configuration, without starting anything. And what is no error, but will not work as
//! this host is.

use super::confine;
use super::lan;
use super::reading::{self, Readers, Refused};
use crate::config::model::Config;
use crate::gather;
use crate::log::{LogLine, Remark};
use crate::sys::{error_text, privilege};

/// Checks a file; prints each error as `FILE:LINE:COLUMN: TEXT`, details indented, or else the warnings. Returns the exit
/// status: warnings do not change it.
pub fn run(file: &str) -> i32 {
    match read(file) {
        Ok(config) => {
            let mut warnings = lan::warnings(&config);
            let remarks = reading::warning(file, &config).into_iter().chain(unreadable(file, &config));
            warnings.extend(remarks.map(|remark| (1, of_file(file, &remark))));
            for (line, text) in warnings {
                eprintln!("{file}:{line}:1: warning: {text}");
            }
            0
        }
        Err(errors) => {
            eprint!("{errors}");
            1
        }
    }
}

/// A remark about the file, without the name that it begins with.
fn of_file(file: &str, remark: &Remark) -> String {
    remark.to_string().trim_start_matches(file).trim_start_matches([':', ' ']).to_owned()
}

/// Whether the `user` of the file could read it again: becomes that user, for good, and tries.
fn unreadable(file: &str, config: &Config) -> Option<Remark> {
    let name = confine::user(config)?;
    let user = match privilege::user(&name) {
        Ok(user) => user,
        Err(error) => return Some(Remark::User { user: name, error: error_text(&error) }),
    };
    // Only root can become somebody else, and find out.
    privilege::drop_to(user, &[]).ok()?;
    reading::unreadable(file, Some(&name))
}

/// A file that can be used, or every error in it, one or more lines each.
fn read(file: &str) -> Result<Config, String> {
    let (parsed, _) = reading::read(file, reading::PATIENCE, &reading::system_defaults(), Readers::OfFile)
        .map_err(|e| Refused::Unreadable(e).text(file))?;
    let config = parsed.config.map_err(|e| Refused::Errors(e).text(file))?;
    let problems = config.tunnels.iter().flat_map(|t| reading::problems(file, t)).collect();
    let problems = gather::sorted(problems, |(line, _)| *line as u64);
    match problems.is_empty() {
        true => Ok(config),
        false => Err(problems.iter().map(|(at, line)| one(file, *at, line)).collect()),
    }
}

/// A problem of a block, at the line where the block begins.
fn one(file: &str, at: usize, line: &LogLine) -> String {
    let place = format!("{file}:{at}: ");
    let detail = line.detail.as_deref().unwrap_or_default();
    format!("{file}:{at}:1: {}\n  {}\n", line.text, detail.trim_start_matches(&place))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, text: &str) -> String {
        let path = std::env::temp_dir().join(format!("l2tpd-check-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        let file = path.to_string_lossy();
        let report = match read(&file) {
            Ok(config) => {
                let warnings = reading::warning(&file, &config);
                warnings.iter().map(|remark| format!("warning: {}\n", of_file(&file, remark))).collect()
            }
            Err(errors) => errors,
        };
        std::fs::remove_file(&path).unwrap();
        report.replace(&*path.to_string_lossy(), "FILE")
    }

    #[test]
    fn missing_tags_are_errors_with_a_place() {
        let text = "router-id 10.0.0.1\n\ntunnel tokyo\n  remote-hostname any\n  remote-router-id any\n  \
                    remote-address 192.0.2.2\n  session l2tp0\n";
        assert_eq!(
            check("missing", text),
            "FILE:7:1: get session configuration failed\n  tunnel tokyo, session l2tp0: remote-end-id is missing\n"
        );
        // All of them in one go.
        assert_eq!(
            check("tunnel", "tunnel tokyo\nsession l2tp0\n"),
            "FILE:1:1: get tunnel configuration failed\n  tunnel tokyo: remote-address is missing; \
             remote-hostname is missing (`any` turns the check off); \
             remote-router-id is missing (`any` turns the check off)\n\
             FILE:2:1: get session configuration failed\n  tunnel tokyo, session l2tp0: remote-end-id is missing\n"
        );
        assert_eq!(check("disabled", "tunnel tokyo\n disable\n"), "");
    }

    #[test]
    fn what_is_hardly_meant_is_a_warning() {
        assert_eq!(check("empty", ""), "warning: has no tunnel: there is nothing to do\n");
        assert_eq!(check("none", "log-level info\n"), "warning: has no tunnel: there is nothing to do\n");
    }

    #[test]
    fn errors_have_line_and_column() {
        let report = check("errors", "log-level loud\ntunnel tokyo\n  remote-address\n");
        assert!(report.contains("FILE:1:"), "{report}");
        assert!(report.contains("FILE:3:3: remote-address: No param"), "{report}");
    }

    #[test]
    fn a_missing_file_is_told() {
        assert_eq!(
            read("/nonexistent/l2tpd.conf").unwrap_err(),
            "Can't open config file\n  /nonexistent/l2tpd.conf: No such file or directory\n"
        );
    }
}
