//! Runs the tests in a few threads (most of their time is waiting) and sums up.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{mpsc, Mutex};
use std::time::{Duration, Instant};

use super::{daemon, net};

/// The most time that one test may take (the virtual machine is the slowest); with `LONG=1`, when each transfer moves
/// 1 GB.
const LIMIT: Duration = Duration::from_secs(450);
const LONG_LIMIT: Duration = Duration::from_secs(100_000);

/// Whether `LONG=1` asks for long transfers.
pub fn is_long() -> bool {
    std::env::var("LONG").is_ok_and(|value| value != "0")
}

/// A test and its name.
pub struct Test {
    pub name: &'static str,
    pub run: fn(),
}

/// The list of a file's tests; one that is forgotten here is a compiler warning (unused function).
#[macro_export]
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub const TESTS: &[$crate::support::runner::Test] = &[
            $($crate::support::runner::Test { name: concat!(module_path!(), "::", stringify!($name)), run: $name }),*
        ];
    };
}

/// Ends a test that cannot run here.
pub struct Skip(String);

pub fn skip(why: &str) -> ! {
    std::panic::panic_any(Skip(why.to_owned()))
}

/// What the summary says beside the numbers: peers that took part, what was skipped.
static NOTES: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Adds a line to the summary.
pub fn note(text: String) {
    NOTES.lock().expect("notes").insert(text);
}

enum Outcome {
    Ok,
    Failed(String),
    Skipped(String),
}

/// Where the last panic of this thread was.
mod place {
    use std::cell::RefCell;
    thread_local!(pub static PLACE: RefCell<String> = const { RefCell::new(String::new()) });
}

fn quiet_panics() {
    std::panic::set_hook(Box::new(|info| {
        let at = info.location().map(|l| format!("{}:{}", l.file(), l.line())).unwrap_or_default();
        place::PLACE.with(|place| *place.borrow_mut() = at);
    }));
}

fn run_one(test: &Test) -> Outcome {
    let run = AssertUnwindSafe(test.run);
    // A thread of its own, so that its name is that of the test.
    let thread = std::thread::Builder::new().name(test.name.trim_start_matches("e2e::").to_owned());
    let result = thread.spawn(move || {
        std::panic::catch_unwind(run).map_err(|panic| (panic, place::PLACE.with(|p| p.borrow().clone())))
    });
    let (panic, at) = match result.expect("thread").join().expect("caught") {
        Ok(()) => return Outcome::Ok,
        Err(failed) => failed,
    };
    if let Some(Skip(why)) = panic.downcast_ref() {
        return Outcome::Skipped(why.clone());
    }
    let text = panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_default();
    Outcome::Failed(format!("{at}: {text}"))
}

/// Groups of tests, and how many of them run at once.
pub type Stage = (Vec<&'static [Test]>, usize);

/// Runs all tests that the command line asks for, a stage after the other; returns the exit status. When they are
/// through, `last` adds to what failed; it hears whether all tests ran.
pub fn run(stages: &[Stage], last: impl Fn(bool, &mut Vec<String>)) -> i32 {
    // Of whoever manages the container that this runs in: no daemon of the tests is to tell it anything.
    std::env::remove_var("NOTIFY_SOCKET");
    super::sys::hear_interrupts();
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let wanted = |test: &&Test| words.is_empty() || words.iter().any(|word| test.name.contains(word));
    let of = |groups: &[&'static [Test]]| groups.iter().copied().flatten().filter(wanted).collect();
    let stages: Vec<(Vec<&Test>, usize)> =
        stages.iter().map(|(groups, threads)| (of(groups), *threads)).collect();
    if std::env::args().any(|word| word == "--list") {
        stages.iter().flat_map(|(tests, _)| tests).for_each(|test| println!("{}: test", test.name));
        return 0;
    }
    let count = stages.iter().map(|(tests, _)| tests.len()).sum();
    if let Err(why) = net::possible() {
        println!("SKIPPED: none of the {count} end-to-end tests ran: {why}\n");
        println!("test result: ok. 0 passed; 0 failed; {count} ignored");
        return 0;
    }
    let _ = std::fs::remove_dir_all(net::log_dir());
    std::fs::create_dir_all(net::log_dir()).expect("directory of the logs");
    std::fs::create_dir_all(net::work_dir()).expect("directory of the tests");
    daemon::make_client();
    quiet_panics();
    let begun = Instant::now();
    let mut failures: Vec<String> =
        stages.iter().flat_map(|(tests, threads)| run_threads(tests, *threads)).collect();
    last(words.is_empty(), &mut failures);
    let _ = std::fs::remove_dir_all(net::work_dir());
    sum_up(count, &failures, begun.elapsed())
}

/// What failed, each with its text. The numbers of skipped tests go into the notes.
fn run_threads(tests: &[&Test], threads: usize) -> Vec<String> {
    let threads = std::env::var("L2TPD_E2E_THREADS").ok().and_then(|n| n.parse().ok()).unwrap_or(threads);
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    let (finished, ends) = mpsc::channel::<()>();
    let running = Mutex::new(Vec::<(&str, Instant)>::new());
    std::thread::scope(|scope| {
        scope.spawn(|| watch(&running, ends));
        for _ in 0..threads {
            let finished = finished.clone();
            scope.spawn(|| {
                let _finished = finished;
                while let Some(test) = tests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let start = Instant::now();
                    running.lock().expect("list").push((test.name, start));
                    let outcome = run_one(test);
                    running.lock().expect("list").retain(|(name, _)| *name != test.name);
                    let seconds = start.elapsed().as_secs_f32();
                    match outcome {
                        Outcome::Ok => println!("test {} ... ok ({seconds:.1} s)", test.name),
                        Outcome::Skipped(why) => {
                            println!("test {} ... SKIPPED: {why}", test.name);
                            note(format!("SKIPPED: {}: {why}", test.name));
                        }
                        Outcome::Failed(text) => {
                            println!("test {} ... FAILED ({seconds:.1} s)", test.name);
                            failures.lock().expect("failures").push(format!("{}\n{text}", test.name));
                        }
                    }
                }
            });
        }
        drop(finished);
    });
    failures.into_inner().expect("failures")
}

/// Ends everything when a test hangs: better a loud end than none. Returns when nobody holds the other end of `ends`.
fn watch(running: &Mutex<Vec<(&str, Instant)>>, ends: mpsc::Receiver<()>) {
    while ends.recv_timeout(Duration::from_secs(1)) == Err(mpsc::RecvTimeoutError::Timeout) {
        let list = running.lock().expect("list");
        let limit = if is_long() { LONG_LIMIT } else { LIMIT };
        if let Some((name, _)) = list.iter().find(|(_, start)| start.elapsed() > limit) {
            println!(
                "test {name} ... FAILED: it hangs\n\ntest result: FAILED. 0 passed; 1 failed; 0 ignored"
            );
            net::remove_all();
            std::process::exit(1);
        }
    }
}

fn sum_up(count: usize, failures: &[String], took: Duration) -> i32 {
    for failure in failures {
        println!("\n---- {failure}");
    }
    let notes = NOTES.lock().expect("notes");
    println!();
    notes.iter().for_each(|note| println!("{note}"));
    let skipped = notes.iter().filter(|note| note.starts_with("SKIPPED")).count();
    let word = if failures.is_empty() { "ok" } else { "FAILED" };
    let passed = count.saturating_sub(failures.len() + skipped);
    let line = format!(
        "test result: {word}. {passed} passed; {} failed; {skipped} ignored; finished in {:.2}s",
        failures.len(),
        took.as_secs_f64()
    );
    println!("\n{line}");
    let summary: String = notes.iter().map(|note| format!("{note}\n")).collect();
    let _ = std::fs::write(net::log_dir().join("summary.txt"), format!("{summary}{line}\n"));
    i32::from(!failures.is_empty())
}
