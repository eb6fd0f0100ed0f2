//! A place in `judges`: where programs are measured, and how many at a time.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::wrong::{Wrong, at_least_1, at_most, time};
use crate::values::place::Place;

/// A harness starts no more processes.
const MOST_SLOTS: usize = 10_000;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PlaceConfig {
    pub slots: Option<usize>,
    pub launch: Vec<String>,
    pub judge: Option<PathBuf>,
    pub mixed: bool,
    pub restarts: u32,
    #[serde(with = "humantime_serde")]
    pub initial_backoff: Duration,
    #[serde(with = "humantime_serde")]
    pub max_backoff: Duration,
}

impl Default for PlaceConfig {
    fn default() -> Self {
        let Place { launch, judge, mixed, restarts, initial_backoff_seconds, max_backoff_seconds, .. } = Place::here(1);
        let [initial_backoff, max_backoff] =
            [initial_backoff_seconds, max_backoff_seconds].map(Duration::from_secs_f64);
        Self { slots: None, launch, judge, mixed, restarts, initial_backoff, max_backoff }
    }
}

impl PlaceConfig {
    pub(super) fn place(&self, is_on_gpu: bool) -> Result<Place, Wrong> {
        if self.launch.iter().any(String::is_empty) {
            return Err(Wrong::new("launch", "has an empty word"));
        }
        let slots = match self.slots {
            None if !self.launch.is_empty() => {
                return Err(Wrong::new(
                    "slots",
                    "must be given, because this machine does not know the other one's CPUs",
                ));
            }
            // Judges take turns on a GPU, and each holds memory there.
            None if is_on_gpu => 1,
            None => thread::available_parallelism().map_or(1, usize::from),
            Some(slots) => slots,
        };
        at_least_1("slots", slots)?;
        at_most("slots", slots, MOST_SLOTS)?;
        let least = Duration::from_millis(1);
        time("initial_backoff", self.initial_backoff, least)?;
        time("max_backoff", self.max_backoff, least)?;
        Ok(Place {
            slots,
            launch: self.launch.clone(),
            judge: self.judge.clone(),
            mixed: self.mixed,
            restarts: self.restarts,
            initial_backoff_seconds: self.initial_backoff.as_secs_f64(),
            max_backoff_seconds: self.max_backoff.as_secs_f64(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    use crate::config::file::Config;
    use crate::config::testing::{REFERENCE, names};

    #[test]
    fn the_documented_place_names_every_setting() {
        let written: serde_yaml::Value = serde_yaml::from_str(REFERENCE).unwrap();
        let all = serde_yaml::to_value(PlaceConfig::default()).unwrap();
        assert_eq!(names(&written["judges"][0]), names(&all));
    }

    #[test]
    fn a_place_on_a_gpu_is_one_slot_unless_more_are_given() {
        let slots = |text: &str| Config::parse(text).unwrap().settings().unwrap().slots();
        assert_eq!(slots("evaluation: {device: 'cuda:3'}"), 1);
        assert_eq!(slots("{evaluation: {device: 'cuda:3'}, judges: [{slots: 2}]}"), 2);
    }

    #[test]
    fn a_place_is_this_machine_with_all_its_cpus_unless_more_is_given() {
        let places = |text: &str| Config::parse(text).unwrap().resolved(Path::new("/here")).settings().unwrap().judges;
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        assert_eq!(places(""), [Place::here(cpus)]);
        let elsewhere = places("judges: [{slots: 3, judge: j}, {slots: 4, launch: [ssh, n], judge: j, mixed: true}]");
        assert_eq!(elsewhere[0], Place { judge: Some("/here/j".into()), ..Place::here(3) });
        let launch = vec!["ssh".to_owned(), "n".to_owned()];
        assert_eq!(elsewhere[1], Place { launch, judge: Some("j".into()), mixed: true, ..Place::here(4) });
    }
}
