//! A value that a setting cannot have, and the checks that several settings share.

use std::fmt::Display;
use std::time::Duration;

/// Longer than any run, and short enough for the timers of every layer.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// For a million tokens: above any price, and small enough that no cost overflows.
const MOST_DOLLARS: f64 = 1e6;

/// A setting by its path, such as `search.islands` or `topology: layers * experts`, and what is wrong with its value.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) key: String,
    pub(super) problem: String,
}

impl Wrong {
    pub(super) fn new(key: &str, problem: impl Display) -> Self {
        Self { key: key.to_owned(), problem: format!(": {problem}") }
    }

    pub(super) fn inside(mut self, parent: &str) -> Self {
        self.key = format!("{parent}.{}", self.key);
        self
    }
}

pub(super) fn demand(holds: bool, key: &str, value: impl Display, allowed: impl Display) -> Result<(), Wrong> {
    if holds {
        return Ok(());
    }
    Err(Wrong { key: key.to_owned(), problem: format!(" is {value}, must be {allowed}") })
}

pub(super) fn at_least_1<T: PartialOrd + From<u8> + Display + Copy>(key: &str, value: T) -> Result<(), Wrong> {
    demand(value >= T::from(1), key, value, "at least 1")
}

pub(super) fn at_most<T: PartialOrd + Display + Copy>(key: &str, value: T, limit: T) -> Result<(), Wrong> {
    demand(value <= limit, key, value, format_args!("at most {limit}"))
}

pub(super) fn time(key: &str, value: Duration, least: Duration) -> Result<(), Wrong> {
    let (from, to) = (humantime::format_duration(least), "366 days");
    demand(
        value >= least && value <= LONGEST,
        key,
        humantime::format_duration(value),
        format_args!("from {from} to {to}"),
    )
}

pub(super) fn price(key: &str, dollars: f64) -> Result<(), Wrong> {
    demand((0.0..=MOST_DOLLARS).contains(&dollars), key, dollars, format_args!("from 0 to {MOST_DOLLARS} dollars"))
}
