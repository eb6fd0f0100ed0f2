//! The work time of a run.

use crate::values::event::Event;

/// The time that harnesses have worked on a run: from the first to the last event of each session. The time after a
/// session's last event is unknown, and jumps of the clock between sessions do not matter.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WorkTime {
    before: f64,
    /// The first and the latest event of this session.
    session: Option<(f64, f64)>,
}

impl WorkTime {
    /// Applies the time of the next event.
    pub fn add(&mut self, event: &Event, time: f64) {
        match &mut self.session {
            Some((_, last)) if !matches!(event, Event::RunResumed { .. }) => *last = time,
            _ => *self = Self { before: self.seconds(), session: Some((time, time)) },
        }
    }

    pub fn seconds(&self) -> f64 {
        self.before + self.session.map_or(0.0, |(began, last)| (last - began).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::event::{RunStarted, StopReason};

    #[test]
    fn time_at_work_is_that_of_all_sessions_and_not_of_the_time_between_them() {
        let resumed = || Event::RunResumed { candidates: 9 };
        let events = [
            (1000.0, Event::RunStarted(Box::new(RunStarted::example()))),
            (1007.0, Event::RunStopped { reason: StopReason::Interrupted }),
            // Set back by a year, then right again.
            (-3e7, resumed()),
            (-3e7 + 2.0, Event::RunStopped { reason: StopReason::Interrupted }),
            (2000.0, resumed()),
            // A clock that was set back while a session wrote.
            (1990.0, Event::RunStopped { reason: StopReason::WallTime }),
        ];
        let mut work = WorkTime::default();
        assert_eq!(work.seconds(), 0.0);
        events.iter().for_each(|(time, event)| work.add(event, *time));
        assert_eq!(work.seconds(), 9.0);
    }
}
