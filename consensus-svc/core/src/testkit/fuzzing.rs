//! What a fuzzer runs, each over bytes from outside: the ordinary tests run the same over random bytes, so that it is
//! compiled and exercised without a fuzzer. Nothing here may panic, whatever the bytes are; what must hold is asserted.
//!
//! `consensus-svc/core/fuzz` makes a target of each; [`SEEDS`] are what its corpus starts from.

mod block;
mod choices;
mod commit;
mod commit_range;
mod machine;
mod seeds;
mod subject;
mod submit;
mod witness;

pub use block::block;
pub use choices::Choices;
pub use commit::commit;
pub use commit_range::commit_range;
pub use machine::machine;
pub use seeds::{SEEDS, Seeds};
pub use submit::submit;

/// Something that runs over any bytes.
pub type Target = fn(&[u8]);

/// All targets of this crate by name.
pub const TARGETS: [(&str, Target); 5] = [
    ("block", block),
    ("commit", commit),
    ("commit_range", commit_range),
    ("machine", machine),
    ("submit", submit),
];

/// Spoils a seed as a fuzzer does, by decisions from `script`: bytes are changed, taken out, put in and repeated.
pub fn spoil(seed: &[u8], script: &[u8]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    let mut choices = Choices::new(script);
    while !choices.is_over() {
        let place = usize::from(u16::from_le_bytes(choices.array()));
        let place = place.checked_rem(bytes.len()).unwrap_or(0);
        let by = choices.byte();
        match choices.below(5) {
            0 => bytes.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= by),
            1 => drop(bytes.drain(place..place.saturating_add(usize::from(by)).min(bytes.len()))),
            2 => bytes.insert(place, by),
            3 => bytes.truncate(place),
            _ => {
                let again: Vec<u8> = bytes.iter().skip(place).take(usize::from(by)).copied().collect();
                bytes.extend(again);
            }
        }
    }
    bytes
}
