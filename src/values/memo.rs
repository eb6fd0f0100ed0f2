//! A bounded LRU cache. It changes how long a result takes, never the result.

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;

#[derive(Debug)]
pub(crate) struct Memo<K: Hash + Eq, V>(Mutex<LruCache<K, V>>);

impl<K: Hash + Eq, V: Clone> Memo<K, V> {
    pub(crate) fn new(room: usize) -> Self {
        let room = NonZeroUsize::new(room).expect("BUG: a cache of no entries");
        Self(Mutex::new(LruCache::new(room)))
    }

    /// The value of `key`, made by `make` if the cache lacks it. Errors are not cached.
    pub(crate) fn get<E>(&self, key: K, make: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        if let Some(known) = self.peek(&key) {
            return Ok(known);
        }
        let made = make()?;
        self.put(key, made.clone());
        Ok(made)
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn peek(&self, key: &K) -> Option<V> {
        self.lock().get(key).cloned()
    }

    pub(crate) fn put(&self, key: K, value: V) {
        self.lock().put(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn a_value_is_made_once_until_others_displace_it() {
        let recent = Memo::new(2);
        let made = RefCell::new(Vec::new());
        let get = |key: u32| {
            let make = || {
                made.borrow_mut().push(key);
                if key == 9 { Err(()) } else { Ok(10 * key) }
            };
            recent.get(key, make)
        };
        assert_eq!(
            [1, 2, 1, 3, 1, 2, 9, 9].map(get),
            [10, 20, 10, 30, 10, 20, 0, 0].map(|n| if n > 0 { Ok(n) } else { Err(()) })
        );
        assert_eq!(*made.borrow(), [1, 2, 3, 2, 9, 9]);
    }
}
