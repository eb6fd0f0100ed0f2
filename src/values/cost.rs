//! Cost: what requests cost in tokens and money, and a budget that counts requests in flight at their worst case.
//!
//! Money is in whole billionths of a dollar: sums do not depend on their order, and a limit is exact.

use std::iter::Sum;
use std::ops::{Add, AddAssign};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::values::settings::Prices;

/// Tokens of a request and its reply, as the endpoint counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// Tokens of the request.
    pub prompt_tokens: u64,
    /// Tokens of the reply, those of hidden reasoning included.
    pub completion_tokens: u64,
}

/// An actual or possible cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Charge {
    pub usage: Usage,
    /// In billionths of a dollar.
    pub nanodollars: u64,
}

impl Charge {
    pub const NONE: Self = Self { usage: Usage { prompt_tokens: 0, completion_tokens: 0 }, nanodollars: 0 };

    /// The cost of these tokens at these prices, rounded up.
    pub fn of(usage: Usage, prices: Prices) -> Self {
        // Dollars for a million tokens are thousands of nanodollars for one.
        let cost = |tokens: u64, price: f64| (tokens as f64 * price * 1e3).ceil() as u64;
        let prompt = cost(usage.prompt_tokens, prices.prompt);
        Self { usage, nanodollars: prompt.saturating_add(cost(usage.completion_tokens, prices.completion)) }
    }

    pub fn tokens(&self) -> u64 {
        self.usage.prompt_tokens.saturating_add(self.usage.completion_tokens)
    }

    pub fn dollars(&self) -> f64 {
        self.nanodollars as f64 / 1e9
    }

    /// The difference to a part of it, at least 0.
    pub fn less(self, other: Self) -> Self {
        self.combined(other, u64::saturating_sub)
    }

    fn combined(self, other: Self, combine: impl Fn(u64, u64) -> u64) -> Self {
        let prompt_tokens = combine(self.usage.prompt_tokens, other.usage.prompt_tokens);
        let completion_tokens = combine(self.usage.completion_tokens, other.usage.completion_tokens);
        let usage = Usage { prompt_tokens, completion_tokens };
        Self { usage, nanodollars: combine(self.nanodollars, other.nanodollars) }
    }
}

impl Add for Charge {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.combined(other, u64::saturating_add)
    }
}

impl AddAssign for Charge {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Charge {
    fn sum<I: Iterator<Item = Self>>(charges: I) -> Self {
        charges.fold(Self::NONE, Add::add)
    }
}

/// The most that all requests of a run may cost; `None`: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Limit {
    /// In tokens, both ways.
    pub tokens: Option<u64>,
    /// In billionths of a dollar.
    pub nanodollars: Option<u64>,
}

impl Limit {
    /// From dollars and tokens as a user gives them, rounded down to billionths.
    pub fn new(dollars: Option<f64>, tokens: Option<u64>) -> Self {
        Self { tokens, nanodollars: dollars.map(|dollars| (dollars * 1e9).floor() as u64) }
    }

    pub fn allows(&self, charge: Charge) -> bool {
        let within = |spent: u64, limit: Option<u64>| limit.is_none_or(|limit| spent <= limit);
        within(charge.tokens(), self.tokens) && within(charge.nanodollars, self.nanodollars)
    }
}

/// The money spent, and the most that requests in flight may still cost. If no request costs more than its worst case,
/// the total never exceeds the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    pub limit: Limit,
    pub spent: Charge,
    /// The worst cases of requests in flight.
    pub reserved: Charge,
}

impl Budget {
    pub fn new(limit: Limit) -> Self {
        Self { limit, ..Self::default() }
    }

    pub fn has_room(&self, worst: Charge) -> bool {
        self.limit.allows(self.spent + self.reserved + worst)
    }
}

/// The money that requests draw on. Each try has one `reserve` before it and one `settle` after it.
pub trait Reserve {
    /// Sets the worst case of a try aside. If it returns `false`, nothing is set aside and the try must not be sent.
    #[must_use]
    fn reserve(&mut self, worst: Charge) -> bool;

    /// A try has ended: its worst case is free again, and `actual` is spent.
    fn settle(&mut self, worst: Charge, actual: Charge);
}

impl Reserve for Budget {
    fn reserve(&mut self, worst: Charge) -> bool {
        let fits = self.has_room(worst);
        if fits {
            self.reserved += worst;
        }
        fits
    }

    fn settle(&mut self, worst: Charge, actual: Charge) {
        self.reserved = self.reserved.less(worst);
        self.spent += actual;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PRICES: Prices = Prices { prompt: 0.15, completion: 0.6 };

    fn charge(prompt_tokens: u64, completion_tokens: u64) -> Charge {
        Charge::of(Usage { prompt_tokens, completion_tokens }, PRICES)
    }

    #[test]
    fn prices_are_per_million_tokens_and_round_up_to_billionths() {
        assert_eq!(charge(1_000_000, 1_000_000).nanodollars, 750_000_000);
        assert_eq!(charge(2, 1).nanodollars, 900);
        let cheap = Prices { prompt: 0.000_25, completion: 0.0 };
        assert_eq!(Charge::of(Usage { prompt_tokens: 1, completion_tokens: 9 }, cheap).nanodollars, 1);
        assert_eq!(charge(1_000_000, 0).dollars(), 0.15);
    }

    #[test]
    fn a_request_that_does_not_fit_may_fit_later() {
        let mut budget = Budget::new(Limit::new(Some(0.001), None));
        let worst = charge(1000, 1000);
        assert!(budget.reserve(worst));
        assert!(!budget.reserve(worst));
        budget.settle(worst, charge(100, 10));
        assert_eq!((budget.reserved, budget.spent), (Charge::NONE, charge(100, 10)));
        assert!(budget.reserve(worst));
        budget.settle(worst, worst);
        assert!(!budget.reserve(worst));
    }

    #[test]
    fn a_limit_is_reached_to_the_last_token_and_billionth() {
        let mut budget = Budget::new(Limit { tokens: Some(10), nanodollars: None });
        assert!(budget.reserve(charge(6, 4)) && !budget.reserve(charge(0, 1)));
        let mut budget = Budget::new(Limit { tokens: None, nanodollars: Some(900) });
        assert!(budget.reserve(charge(2, 1)) && !budget.reserve(charge(0, 1)));
        assert!(Budget::new(Limit::default()).reserve(charge(u64::MAX, u64::MAX)));
    }

    proptest! {
        #[test]
        fn no_order_of_requests_spends_more_than_the_limit(
            requests in prop::collection::vec((0..5000u64, 0..5000u64, 0.0..=1.0f64, any::<bool>()), 0..60),
            nanodollars in 0..3_000_000u64,
            tokens in 0..20_000u64,
        ) {
            let mut budget = Budget::new(Limit { tokens: Some(tokens), nanodollars: Some(nanodollars) });
            let mut in_flight = Vec::new();
            for (prompt, completion, share, ends_one) in requests {
                let worst = charge(prompt, completion);
                let actual = charge((prompt as f64 * share) as u64, (completion as f64 * share) as u64);
                if budget.reserve(worst) {
                    in_flight.push((worst, actual));
                }
                if ends_one && let Some((worst, actual)) = in_flight.pop() {
                    budget.settle(worst, actual);
                }
                prop_assert!(budget.limit.allows(budget.spent + budget.reserved));
            }
            in_flight.into_iter().for_each(|(worst, actual)| budget.settle(worst, actual));
            prop_assert_eq!(budget.reserved, Charge::NONE);
            prop_assert!(budget.spent.nanodollars <= nanodollars && budget.spent.tokens() <= tokens);
        }
    }
}
