//! Figures as text.

/// A score with four digits; what rounds to 0 has no sign.
pub fn score(score: f64) -> String {
    rounded(score, 4)
}

/// A figure with this number of digits; what rounds to 0 has no sign.
pub fn rounded(figure: f64, digits: usize) -> String {
    without_zero_sign(format!("{figure:.digits$}"))
}

/// A change with its sign; what rounds to 0 has none.
pub fn signed(change: f64, digits: usize) -> String {
    without_zero_sign(format!("{change:+.digits$}"))
}

fn without_zero_sign(text: String) -> String {
    let is_zero = text.chars().all(|c| matches!(c, '+' | '-' | '0' | '.'));
    if is_zero { text.trim_start_matches(['+', '-']).to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rounds_to_zero_has_no_sign() {
        assert_eq!([-0.0, -0.000_04, 0.000_04, -0.0001].map(score), ["0.0000", "0.0000", "0.0000", "-0.0001"]);
        assert_eq!([-0.04, -0.06, 0.06].map(|figure| rounded(figure, 1)), ["0.0", "-0.1", "0.1"]);
        assert_eq!([-0.000_04, 0.5, -0.5].map(|change| signed(change, 4)), ["0.0000", "+0.5000", "-0.5000"]);
    }
}
