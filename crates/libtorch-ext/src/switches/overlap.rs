//! Guards over a setting of the whole process.

use std::sync::{Mutex, PoisonError};

/// Counts the guards that want a setting changed: the first changes it and the last puts it back, in whatever order and on
/// whatever threads they end.
pub(super) struct Overlap<S> {
    guards: Mutex<(usize, Option<S>)>,
}

impl<S> Overlap<S> {
    pub(super) const fn new() -> Self {
        Self { guards: Mutex::new((0, None)) }
    }

    /// Notes a guard's beginning. `change` returns what has to be put back.
    pub(super) fn enter(&self, change: impl FnOnce() -> S) {
        let mut guards = self.guards.lock().unwrap_or_else(PoisonError::into_inner);
        if guards.0 == 0 {
            guards.1 = Some(change());
        }
        guards.0 += 1;
    }

    /// Notes a guard's end.
    pub(super) fn exit(&self, restore: impl FnOnce(S)) {
        let mut guards = self.guards.lock().unwrap_or_else(PoisonError::into_inner);
        guards.0 -= 1;
        if guards.0 == 0
            && let Some(previous) = guards.1.take()
        {
            restore(previous);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn the_first_changes_and_the_last_restores() {
        let (setting, overlap) = (Cell::new(7), Overlap::new());
        let enter = || overlap.enter(|| setting.replace(0));
        let exit = || overlap.exit(|previous| setting.set(previous));
        enter();
        enter();
        assert_eq!(setting.get(), 0);
        exit();
        assert_eq!(setting.get(), 0);
        exit();
        assert_eq!(setting.get(), 7);
        enter();
        assert_eq!(setting.get(), 0);
        exit();
        assert_eq!(setting.get(), 7);
    }
}
