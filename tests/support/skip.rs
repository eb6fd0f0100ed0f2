//! Skip: a test that cannot run on this machine prints why. In CI it fails, unless the machine is known to lack what it
//! needs.

use std::fmt::Display;
use std::io::Write;

/// Names what this machine may lack, with commas between the names.
const MAY_SKIP: &str = "PACKEVOLVE_MAY_SKIP";

/// Reports that the running test is skipped since this machine lacks `thing`.
///
/// # Panics
/// In CI (`CI=true` or `PACKEVOLVE_REQUIRE=1`) where [`MAY_SKIP`] does not name the thing.
#[track_caller]
pub fn skip(thing: &str, why: impl Display) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // Not by `eprintln!`, whose output the harness hides for a test that passes.
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {why}");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|set| set == value);
    if is("CI", "true") || is("PACKEVOLVE_REQUIRE", "1") {
        let may_skip = std::env::var(MAY_SKIP).unwrap_or_default();
        assert!(
            may_skip.split(',').any(|name| name == thing),
            "{test} needs {thing}, which {MAY_SKIP} does not name: {why}"
        );
    }
}
