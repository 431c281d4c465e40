//! How noise grows over the steps of a discrete process.

mod beta_schedule;
mod discrete_vp;
mod steps;
mod zero_snr;

pub use beta_schedule::BetaSchedule;
pub use discrete_vp::DiscreteVp;
pub(crate) use steps::{bounded_steps, check_steps};
pub use zero_snr::zero_terminal_snr;
