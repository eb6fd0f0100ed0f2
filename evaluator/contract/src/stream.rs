//! Keyed streams of random numbers: every draw of a run comes from the stream of a (rng_seed, number, purpose).
//!
//! A stream depends on its key alone, not on the use of other streams, so each decision can be reproduced by itself.
//! ChaCha's output is the same in all versions and on all platforms.

use rand::SeedableRng;
pub use rand_chacha::ChaCha8Rng as Stream;

/// The purpose of a stream, part of its key. The record depends on the numbers, so they are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum Purpose {
    /// The proposer and the parent of an attempt.
    Selection = 1,
    /// The draws of a proposer in an attempt.
    Proposal = 2,
    /// The shapes of the random cases of a run.
    RandomCases = 3,
    /// Made-up, resampled and drifted windows.
    Loads = 4,
    /// The permutation of rows and items of a call.
    Permutation = 5,
    /// The seed of torch, numpy and random before a call.
    CallSeed = 6,
    /// The windows of a duel, keyed by its seed.
    DuelLoads = 7,
    /// The permutations and call seeds of a duel, keyed by its seed.
    DuelCalls = 8,
    /// The permutation and the seed of a call that is made again. Its key is case, window and attempt, and a draw keyed by
    /// the candidate, so that a void pair changes no other call.
    Repeat = 9,
    /// The archive member from which an island restarts.
    Restart = 10,
    /// The rows and the loads of the check of consistency.
    Consistency = 11,
    /// The calls that come before a timed call, and their loads.
    WarmUp = 12,
    /// The loads on which a call is timed that is made for its plan.
    PlanLoads = 13,
    /// Which calls of a policy another process repeats.
    RepeatedCalls = 14,
    /// The seed of the chains on which programs are measured beside the best of a run.
    Beside = 15,
}

/// The stream of a key; `number` counts what the purpose is for: attempts, candidates or windows.
///
/// The parts fill the first 24 of ChaCha's 32 key bytes in little-endian order, so distinct keys never share a stream.
pub fn stream(rng_seed: u64, number: u64, purpose: Purpose) -> Stream {
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&rng_seed.to_le_bytes());
    key[8..16].copy_from_slice(&number.to_le_bytes());
    key[16..24].copy_from_slice(&(purpose as u64).to_le_bytes());
    Stream::from_seed(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    #[test]
    fn equal_keys_give_equal_streams_and_any_other_key_another() {
        let draw = |seed, number, purpose| stream(seed, number, purpose).random::<u64>();
        let first = draw(1, 2, Purpose::Selection);
        assert_eq!(first, draw(1, 2, Purpose::Selection));
        for other in [draw(2, 2, Purpose::Selection), draw(1, 3, Purpose::Selection), draw(1, 2, Purpose::Proposal)] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn the_first_draw_of_a_stream_is_the_same_on_every_machine_and_version() {
        // Pinned, because old journals must replay.
        assert_eq!(stream(1, 2, Purpose::Selection).random::<u64>(), 7_463_743_196_657_963_087);
    }
}
