//! Window: a window of the pool, and the one after it.

use packevolve_loads::window::Window;

/// A window of the pool, and the window after it.
#[derive(Clone, Copy, Debug)]
pub struct PoolWindow<'a> {
    pub number: usize,
    pub now: &'a Window,
    pub next: Option<&'a Window>,
}
