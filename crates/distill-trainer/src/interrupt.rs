//! Ctrl-C and SIGTERM as a question the trainer asks between steps.

use crate::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the user asked the run to end.
///
/// A run that is interrupted finishes its step, writes a checkpoint and returns
/// [`Outcome::Interrupted`](crate::Outcome); the program then exits with [`Interrupt::EXIT_CODE`].
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// The exit code of a program ended by Ctrl-C.
    pub const EXIT_CODE: i32 = 130;

    /// Listens for Ctrl-C and SIGTERM. A second one ends the program at once.
    ///
    /// # Errors
    /// [`Error::Interrupt`] if another handler is installed in this process.
    pub fn on_ctrl_c() -> Result<Self> {
        let interrupt = Self::default();
        let flag = interrupt.clone();
        ctrlc::set_handler(move || {
            if flag.0.swap(true, Ordering::SeqCst) {
                std::process::exit(Self::EXIT_CODE);
            }
        })
        .map_err(|error| Error::Interrupt(error.to_string()))?;
        Ok(interrupt)
    }

    /// Asks the run to end, as Ctrl-C does.
    pub fn request(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether the run was asked to end.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
