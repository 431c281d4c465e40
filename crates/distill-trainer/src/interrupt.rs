//! Signals as a question the trainer asks between steps.

use crate::{Error, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Whether the user, or the system, asked the run to end.
///
/// A run that is interrupted finishes its step, writes a checkpoint and returns
/// [`Outcome::Interrupted`](crate::Outcome); the program then exits with [`Interrupt::exit_code`].
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    requested: Arc<AtomicBool>,
    /// The signal that came; 0 if none did.
    signal: Arc<AtomicUsize>,
}

impl Interrupt {
    /// Listens for SIGINT (Ctrl-C), SIGTERM and SIGHUP. A second signal ends the program at once.
    ///
    /// # Errors
    /// [`Error::Interrupt`] if the system refuses.
    pub fn on_signals() -> Result<Self> {
        let interrupt = Self::default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            interrupt.listen(signal).map_err(|error| Error::Interrupt(error.to_string()))?;
        }
        Ok(interrupt)
    }

    /// The handlers of one signal run in the order of registration: the first one asks whether this is the second signal.
    fn listen(&self, signal: i32) -> std::io::Result<()> {
        let ended = Arc::clone(&self.requested);
        flag::register_conditional_shutdown(signal, code_of(signal as usize), ended)?;
        flag::register_usize(signal, Arc::clone(&self.signal), signal as usize)?;
        flag::register(signal, Arc::clone(&self.requested))?;
        Ok(())
    }

    /// Asks the run to end, as Ctrl-C does.
    pub fn request(&self) {
        self.requested.store(true, Ordering::SeqCst);
    }

    /// Whether the run was asked to end.
    pub fn requested(&self) -> bool {
        self.requested.load(Ordering::SeqCst)
    }

    /// The exit code of a program that ends because of the interrupt: 128 and the number of the signal, so 130 after
    /// SIGINT or [`Interrupt::request`], 143 after SIGTERM, 129 after SIGHUP.
    pub fn exit_code(&self) -> i32 {
        match self.signal.load(Ordering::SeqCst) {
            0 => code_of(SIGINT as usize),
            signal => code_of(signal),
        }
    }
}

fn code_of(signal: usize) -> i32 {
    128 + signal as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_counts_as_ctrl_c() {
        let interrupt = Interrupt::default();
        assert!(!interrupt.requested());
        interrupt.clone().request();
        assert!(interrupt.requested());
        assert_eq!(interrupt.exit_code(), 130);
    }
}
