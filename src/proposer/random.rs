//! Random draws that proposers share, beyond those of `rand`.

use packevolve_contract::stream::Stream;
use rand::RngExt;

/// Draws one of `items` by weight; `None` if there are none.
pub(crate) fn weighted<'a, T>(items: &'a [T], rng: &mut Stream, weight: impl Fn(&T) -> u32) -> Option<&'a T> {
    let total: u32 = items.iter().map(&weight).sum();
    let mut ticket = rng.random_range(0..total.max(1));
    items.iter().find(|item| match ticket.checked_sub(weight(item)) {
        Some(rest) => {
            ticket = rest;
            false
        }
        None => true,
    })
}

/// True `percent` times in a hundred.
pub(crate) fn sometimes(percent: u32, rng: &mut Stream) -> bool {
    rng.random_range(0..100) < percent
}
