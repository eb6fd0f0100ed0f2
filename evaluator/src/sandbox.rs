//! Sandbox: the steps of the jail, and what follows if one cannot be taken. `jail.py` takes the steps.
//!
//! The child takes them itself because it is a fork of the Python process that has imported torch: no Rust runs between
//! its fork and its program. The steps need a dozen calls through ctypes and no file to build, find or load.

use packevolve_contract::protocol::{JailStep, Sandbox};

use crate::gpu::Gpu;
use crate::seccomp::{self, Setting};

/// The steps in the order in which a child takes them, and whether the judge needs the step even without a sandbox.
const STEPS: [(&str, bool); 8] = [
    ("descriptors", true),
    ("environment", true),
    ("resource-limits", true),
    ("namespaces", false),
    ("filesystem", false),
    ("privileges", false),
    ("landlock", false),
    ("seccomp", false),
];
/// The last step where compilers are allowed: it ends the permission to start processes.
const LATE_STEP: &str = "processes";
/// What it means to do without it.
const WITHOUT_LATE_STEP: &str = "; programs may start others, and see what those do, in calls that count";
/// Steps that need another step. A private /proc and scratch folder are mounts in a private namespace. Processes that a
/// child leaves running are found only below pid 1 of a namespace, and filters tell supervised calls apart.
const NEEDS: [(&str, &str); 3] = [("filesystem", "namespaces"), (LATE_STEP, "namespaces"), (LATE_STEP, "seccomp")];

#[derive(Clone, Debug)]
pub struct Jail {
    sandbox: Sandbox,
    /// All steps, with the reason for each one that is left out.
    pub steps: Vec<JailStep>,
    /// Whether a program may run compilers until it is sealed.
    pub allow_compile: bool,
    /// The GPU that children may use. Without one they find none.
    pub gpu: Option<Gpu>,
}

impl Jail {
    /// The jail that `sandbox` asks for, before any step was tried.
    pub fn new(sandbox: Sandbox, allow_compile: bool) -> Self {
        let late = allow_compile.then_some((LATE_STEP, false));
        let step = |(name, needed): (&str, bool)| {
            let in_force = needed || sandbox != Sandbox::Off;
            let reason = if in_force { String::new() } else { "sandbox is off".to_owned() };
            JailStep { step: name.to_owned(), in_force, reason }
        };
        Self { sandbox, steps: STEPS.into_iter().chain(late).map(step).collect(), allow_compile, gpu: None }
    }

    pub fn on(self, gpu: Option<Gpu>) -> Self {
        Self { gpu, ..self }
    }

    pub fn wanted(&self) -> Vec<&str> {
        self.steps.iter().filter(|step| step.in_force).map(|step| step.step.as_str()).collect()
    }

    fn wants(&self, name: &str) -> bool {
        self.wanted().contains(&name)
    }

    /// Leaves out a step that cannot be taken, and the steps that need it. False if the step must be taken.
    pub fn leave_out(&mut self, name: &str, reason: &str) -> bool {
        let is_needed = STEPS.iter().any(|(step, needed)| *step == name && *needed);
        if is_needed || self.sandbox == Sandbox::Required || !self.wants(name) {
            return false;
        }
        let dependents = NEEDS.into_iter().filter(|(_, needs)| *needs == name);
        let dependents: Vec<_> = dependents.map(|(step, needs)| (step, format!("needs {needs}"))).collect();
        for (name, mut reason) in dependents.into_iter().chain([(name, reason.to_owned())]) {
            if name == LATE_STEP {
                reason += WITHOUT_LATE_STEP;
            }
            for step in self.steps.iter_mut().filter(|step| step.step == name && step.in_force) {
                (step.in_force, step.reason) = (false, reason.clone());
            }
        }
        true
    }

    /// The steps that it could do without.
    pub fn optional(&self) -> Vec<&'static str> {
        STEPS.iter().filter(|(step, is_needed)| !is_needed && self.wants(step)).map(|(step, _)| *step).collect()
    }

    /// The same jail without these steps and those that need them, whether it is required or not.
    #[must_use]
    pub fn without(&self, steps: &[&str], reason: &str) -> Self {
        let mut jail = Self { sandbox: Sandbox::BestEffort, ..self.clone() };
        for step in steps {
            jail.leave_out(step, reason);
        }
        Self { sandbox: self.sandbox, ..jail }
    }

    pub fn is_required(&self) -> bool {
        self.sandbox == Sandbox::Required
    }

    /// The seccomp filter of a child in the kernel's format; `None` if that step is left out.
    pub fn filter(&self) -> Option<Vec<u8>> {
        let on_cpu = self.gpu.is_none();
        let setting = Setting { alone: self.wants("namespaces"), on_cpu, compilers: self.allow_compile };
        self.wants("seccomp").then(|| seccomp::filter(setting))
    }

    /// The filter of calls about which a supervisor decides; `None` if there are none.
    pub fn supervised(&self) -> Option<Vec<u8>> {
        self.wants(LATE_STEP).then(seccomp::supervised)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_out(jail: &Jail) -> Vec<&str> {
        jail.steps.iter().filter(|step| !step.in_force).map(|step| step.step.as_str()).collect()
    }

    #[test]
    fn a_required_jail_leaves_nothing_out() {
        let mut jail = Jail::new(Sandbox::Required, false);
        assert!(!jail.leave_out("seccomp", "not in this kernel"));
        assert!(left_out(&jail).is_empty());
    }

    #[test]
    fn best_effort_leaves_out_a_step_with_its_reason_and_what_needs_it() {
        let mut jail = Jail::new(Sandbox::BestEffort, false);
        assert!(jail.leave_out("namespaces", "forbidden"));
        assert_eq!(left_out(&jail), ["namespaces", "filesystem"]);
        assert_eq!((jail.steps[3].reason.as_str(), jail.steps[4].reason.as_str()), ("forbidden", "needs namespaces"));
        assert!(!jail.leave_out("namespaces", "again"), "it cannot fail where it is not tried");
        assert!(!jail.leave_out("descriptors", "judging needs them"));
    }

    #[test]
    fn without_a_sandbox_only_what_judging_needs_is_done() {
        let jail = Jail::new(Sandbox::Off, false);
        assert_eq!(jail.wanted(), ["descriptors", "environment", "resource-limits"]);
        assert!(jail.filter().is_none());
    }

    #[test]
    fn even_a_required_jail_has_forms_without_steps() {
        let jail = Jail::new(Sandbox::Required, false);
        assert_eq!(jail.optional(), ["namespaces", "filesystem", "privileges", "landlock", "seccomp"]);
        assert_eq!(left_out(&jail.without(&["landlock", "seccomp"], "a trial")), ["landlock", "seccomp"]);
        assert_eq!(left_out(&jail.without(&["namespaces"], "a trial")), ["namespaces", "filesystem"]);
        assert!(jail.without(&["seccomp"], "a trial").is_required());
        assert!(Jail::new(Sandbox::Off, false).optional().is_empty());
    }

    #[test]
    fn where_compilers_are_allowed_a_step_more_ends_that() {
        let mut jail = Jail::new(Sandbox::BestEffort, true);
        assert!(jail.wants("processes") && jail.supervised().is_some());
        assert!(Jail::new(Sandbox::Required, false).supervised().is_none());
        assert!(jail.leave_out("seccomp", "not in this kernel"));
        assert_eq!(left_out(&jail), ["seccomp", "processes"]);
        let reason = &jail.steps.last().unwrap().reason;
        assert!(reason.starts_with("needs seccomp; programs may start others"), "{reason}");
        assert!(jail.allow_compile && jail.supervised().is_none());
    }
}
