//! Window: the loads of a span of serving, as tokens routed to each expert of each layer. Says which loads are valid.
//! Knows no file format, and never repairs a load.

use std::fmt;

/// The largest load of an expert, tokens: sums over thousands of experts still fit 64 bits and float32.
const LARGEST_LOAD: f64 = 1e15;

/// The most loads of a window, a hundred times those of any known model. A file that claims more is refused before any
/// memory is allocated for it.
pub const MOST_LOADS: usize = 1 << 22;

/// The most characters of a file that a message quotes.
const MOST_QUOTED: usize = 60;

/// Loads `[layers, experts]` in tokens, finite and not negative. A layer may have no load at all.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    pub layers: usize,
    pub experts: usize,
    /// Row-major.
    pub counts: Vec<f64>,
}

impl Window {
    /// A window of `counts`, row-major `[layers, experts]`.
    pub fn new(experts: usize, counts: Vec<f64>) -> Self {
        assert!(!counts.is_empty() && counts.len().is_multiple_of(experts), "BUG: a window of {} loads", counts.len());
        assert!(counts.iter().all(|load| load.is_finite() && *load >= 0.0), "BUG: a window with an invalid load");
        Self { layers: counts.len() / experts, experts, counts }
    }

    pub fn layer(&self, layer: usize) -> &[f64] {
        &self.counts[layer * self.experts..][..self.experts]
    }

    /// Whether a layer has no load at all.
    pub fn is_zero(&self, layer: usize) -> bool {
        self.layer(layer).iter().all(|load| *load == 0.0)
    }

    /// The window without the layers for which `is_dropped`.
    pub fn without(&self, is_dropped: impl Fn(usize) -> bool) -> Self {
        let kept = (0..self.layers).filter(|layer| !is_dropped(*layer));
        Self::new(self.experts, kept.flat_map(|layer| self.layer(layer)).copied().collect())
    }
}

/// Returns `load` if it is valid; `text` is how the file writes it.
pub fn checked(load: f64, text: impl fmt::Display) -> Result<f64, String> {
    let problem = match load {
        _ if !load.is_finite() => "not finite".to_owned(),
        _ if load < 0.0 => "negative".to_owned(),
        _ if load > LARGEST_LOAD => format!("larger than the largest load ({LARGEST_LOAD:e})"),
        _ => return Ok(load + 0.0), // -0 becomes 0
    };
    Err(format!("{} is {problem}", quoted(&text.to_string())))
}

pub fn too_many_loads() -> String {
    format!("more than {MOST_LOADS} loads in a window")
}

/// `text` as a message quotes it, cut to [`MOST_QUOTED`] characters.
pub fn quoted(text: &str) -> String {
    match text.char_indices().nth(MOST_QUOTED) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_a_finite_number_of_tokens_from_0_to_the_largest() {
        let message = |load: f64| checked(load, format!("{load:?}")).unwrap_err().to_string();
        assert_eq!(checked(LARGEST_LOAD, ""), Ok(LARGEST_LOAD));
        assert!(checked(-0.0, "").unwrap().is_sign_positive());
        assert_eq!(message(-0.5), "-0.5 is negative");
        assert_eq!(message(f64::NAN), "NaN is not finite");
        assert_eq!(message(f64::NEG_INFINITY), "-inf is not finite");
        assert_eq!(message(2e15), "2000000000000000.0 is larger than the largest load (1e15)");
    }

    #[test]
    fn a_message_quotes_no_more_than_the_beginning() {
        assert_eq!(quoted("1;2"), "1;2");
        assert_eq!(quoted(&"é".repeat(61)), format!("{}...", "é".repeat(60)));
    }

    #[test]
    fn layers_can_be_dropped() {
        let window = Window::new(2, vec![0.0, 0.0, 1.0, 2.0, 0.0, 3.0]);
        assert_eq!([0, 1, 2].map(|layer| window.is_zero(layer)), [true, false, false]);
        assert_eq!(window.without(|layer| window.is_zero(layer)).counts, [1.0, 2.0, 0.0, 3.0]);
    }
}
