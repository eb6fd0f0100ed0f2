//! Elsewhere: nurseries whose processes differ from those of the first one in what no answer may depend on.
//!
//! Python reads its hash seed, and torch and NumPy choose their vector instructions, once in a process, so each set of
//! these settings needs a nursery of its own: 270 MB, and seconds to start. It stays until the session ends.

use std::path::Path;

use packevolve_contract::inconsistency::Switch;

use crate::nursery::{Nursery, NurseryError, Variables};
use crate::sandbox::Jail;

/// The nurseries, by what is different there.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    nurseries: Vec<(Variables, Nursery)>,
}

impl Elsewhere {
    /// The nursery with these `variables`, started on first use.
    pub fn nursery(&mut self, python: &Path, jail: &Jail, variables: Variables) -> Result<&mut Nursery, NurseryError> {
        let place = match self.nurseries.iter().position(|(known, _)| *known == variables) {
            Some(place) => place,
            None => {
                let nursery = Nursery::start(python, jail, &variables)?;
                self.nurseries.push((variables, nursery));
                self.nurseries.len() - 1
            }
        };
        Ok(&mut self.nurseries[place].1)
    }

    /// Ends the nursery with these `variables`, if it runs.
    pub fn drop_nursery(&mut self, variables: &Variables) {
        self.nurseries.retain(|(known, _)| known != variables);
    }
}

/// The environment variables that differ by `switches`. Seed and threads are set in each child.
pub(super) fn variables(switches: &[Switch], numpy_vectors: &[String]) -> Variables {
    let variable = |switch: &Switch| match switch {
        Switch::HashSeed => Some(("PYTHONHASHSEED", "1".to_owned())),
        Switch::TorchVectors => Some(("ATEN_CPU_CAPABILITY", "default".to_owned())),
        // Only what the CPU has and what NumPy was not built for: NumPy warns of the rest, or fails.
        Switch::NumpyVectors if !numpy_vectors.is_empty() => {
            Some(("NPY_DISABLE_CPU_FEATURES", numpy_vectors.join(" ")))
        }
        Switch::NumbaBounds => Some(("NUMBA_BOUNDSCHECK", "1".to_owned())),
        Switch::NumbaCpu => Some(("NUMBA_CPU_NAME", "generic".to_owned())),
        _ => None,
    };
    switches.iter().filter_map(variable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_acts_when_a_process_starts_needs_a_nursery_of_its_own() {
        let features = ["X86_V3".to_owned(), "X86_V4".to_owned()];
        assert!(variables(&[Switch::Process, Switch::Seed, Switch::Threads], &features).is_empty());
        assert_eq!(variables(&[Switch::Seed, Switch::HashSeed], &features), [("PYTHONHASHSEED", "1".to_owned())]);
        let numpy = ("NPY_DISABLE_CPU_FEATURES", "X86_V3 X86_V4".to_owned());
        assert_eq!(variables(&[Switch::NumpyVectors], &features), [numpy]);
        assert!(variables(&[Switch::NumpyVectors], &[]).is_empty(), "a CPU on which NumPy has no choice");
    }
}
