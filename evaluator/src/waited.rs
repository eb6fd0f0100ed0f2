//! Waited: how long the judge has waited for a reply, the time in which Numba compiles apart.

use std::time::{Duration, Instant};

#[derive(Debug)]
pub struct Waited {
    since: Instant,
    limit: Duration,
    compile_limit: Duration,
    /// In what has compiled so far.
    compiled: Duration,
    /// Since when a function compiles.
    compiles_since: Option<Instant>,
}

impl Waited {
    pub fn new(limit: Duration, compile_limit: Duration) -> Self {
        Self { since: Instant::now(), limit, compile_limit, compiled: Duration::ZERO, compiles_since: None }
    }

    /// A function begins to compile, or has compiled.
    pub fn compiles(&mut self, begins: bool) {
        self.compiled = self.compiling();
        self.compiles_since = begins.then(Instant::now);
    }

    fn compiling(&self) -> Duration {
        self.compiled + self.compiles_since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// The limit that was exceeded, if one was.
    pub fn exceeded(&self) -> Option<Duration> {
        let compiling = self.compiling();
        let running = self.since.elapsed().saturating_sub(compiling);
        [(running, self.limit), (compiling, self.compile_limit)]
            .into_iter()
            .find(|(time, limit)| time > limit)
            .map(|(_, limit)| limit)
    }
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn what_compiles_and_what_runs_have_limits_of_their_own() {
        let mut waited = Waited::new(SHORT, LONG);
        waited.compiles(true);
        sleep(2 * SHORT);
        waited.compiles(false);
        waited.compiles(true);
        sleep(2 * SHORT);
        let mut compiled = Waited::new(LONG, SHORT);
        compiled.compiles(true);
        sleep(2 * SHORT);
        compiled.compiles(false);
        assert_eq!(compiled.exceeded(), Some(SHORT));
        waited.compiles(false);
        sleep(2 * SHORT);
        assert_eq!(waited.exceeded(), Some(SHORT));
        assert_eq!(Waited::new(LONG, LONG).exceeded(), None);
    }

    #[test]
    fn an_end_without_a_beginning_changes_nothing() {
        let mut waited = Waited::new(SHORT, LONG);
        waited.compiles(false);
        sleep(2 * SHORT);
        assert_eq!(waited.exceeded(), Some(SHORT));
    }
}
