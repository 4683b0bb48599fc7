//! Runs that can be repeated.

use std::panic::AssertUnwindSafe;

use crate::dice::Dice;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

/// Runs `round` with one seed after the other, until they have had `inputs` inputs; each returns how many it had.
pub fn rounds(inputs: usize, first: u64, round: impl Fn(&mut Dice) -> usize) {
    let inputs = setting("FUZZ_INPUTS").map_or(inputs, |number| number as usize);
    let mut seed = setting("FUZZ_SEED").unwrap_or(first.wrapping_add(setting("FUZZ_BASE").unwrap_or(0)));
    let mut done = 0;
    while done < inputs {
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| round(&mut Dice(seed))));
        match outcome {
            Ok(count) => done += count.max(1),
            Err(panic) => {
                eprintln!("failed with FUZZ_SEED={seed}");
                std::panic::resume_unwind(panic);
            }
        }
        seed += 1;
    }
    println!("{done} inputs");
}
