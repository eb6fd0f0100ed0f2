//! Unlike: what keeps a judge from measuring beside others.

use packevolve_contract::protocol::{Ready, Sandbox};
use thiserror::Error;

/// How two judges differ, so that their figures do not compare.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unlike {
    #[error("its {what} is {theirs}, that of the first place is {first}")]
    Other { what: &'static str, theirs: String, first: String },
    #[error("its jail lacks {step}: {reason}")]
    Jail { step: String, reason: String },
    #[error("its loads differ: it reads or derives other windows from the same files and seeds")]
    Loads,
}

/// The first difference of a judge from the first one that makes its times incomparable.
pub fn other_device(first: &Ready, judge: &Ready) -> Option<Unlike> {
    let parts = [
        ("target", &first.target, &judge.target),
        ("kind of device", &kind(first), &kind(judge)),
        ("device", &first.device_name, &judge.device_name),
        ("torch", &first.torch, &judge.torch),
        ("Numba", &numba(first), &numba(judge)),
    ];
    let other = |(what, first, theirs): (_, &String, &String)| Unlike::Other {
        what,
        theirs: theirs.clone(),
        first: first.clone(),
    };
    parts.into_iter().find(|(_, first, theirs)| first != theirs).map(other)
}

fn numba(judge: &Ready) -> String {
    judge.numba.clone().unwrap_or_else(|| "missing".to_owned())
}

/// Why a judge cannot be used, no matter which device it has. `loads` is the digest of the run's loads.
pub fn unusable(loads: &str, sandbox: Sandbox, judge: &Ready) -> Option<Unlike> {
    let missing = judge.jail.iter().find(|step| !step.in_force && sandbox == Sandbox::Required);
    if let Some(step) = missing {
        return Some(Unlike::Jail { step: step.step.clone(), reason: step.reason.clone() });
    }
    (judge.loads_digest != loads).then_some(Unlike::Loads)
}

/// `cpu` or `cuda`. Which of a machine's GPUs it is does not matter.
fn kind(judge: &Ready) -> String {
    judge.device.split(':').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use packevolve_contract::protocol::JailStep;

    use super::*;

    fn ready() -> Ready {
        let jail = vec![JailStep { step: "seccomp".to_owned(), in_force: true, reason: String::new() }];
        let names = |device: &str, name: &str| (device.to_owned(), name.to_owned());
        let (device, device_name) = names("cuda:0", "H200");
        let (torch, loads_digest) = names("2.11.0", "digest");
        Ready { device, device_name, torch, loads_digest, jail, ..Ready::default() }
    }

    #[test]
    fn another_model_or_torch_is_named_and_another_python_or_number_does_not_matter() {
        let first = ready();
        let difference = |judge: Ready| other_device(&first, &judge).map(|unlike| unlike.to_string());
        assert_eq!(difference(Ready { python: "3.14".to_owned(), device: "cuda:3".to_owned(), ..ready() }), None);
        let other = difference(Ready { device_name: "L40S".to_owned(), ..ready() });
        assert_eq!(other.as_deref(), Some("its device is L40S, that of the first place is H200"));
        let other = difference(Ready { torch: "2.12.0".to_owned(), ..ready() });
        assert_eq!(other.as_deref(), Some("its torch is 2.12.0, that of the first place is 2.11.0"));
        assert!(difference(Ready { device: "cpu".to_owned(), ..ready() }).is_some());
        assert!(difference(Ready { target: "aarch64-linux".to_owned(), ..ready() }).is_some());
    }

    #[test]
    fn a_weaker_jail_than_asked_for_and_other_loads_are_refused() {
        let mut weaker = ready();
        weaker.jail[0] = JailStep { step: "seccomp".to_owned(), in_force: false, reason: "x".to_owned() };
        assert_eq!(unusable("digest", Sandbox::BestEffort, &weaker), None);
        assert_eq!(unusable("digest", Sandbox::Required, &ready()), None);
        let unlike = unusable("digest", Sandbox::Required, &weaker).unwrap();
        assert_eq!(unlike.to_string(), "its jail lacks seccomp: x");
        assert_eq!(unusable("other", Sandbox::Off, &ready()), Some(Unlike::Loads));
    }
}
