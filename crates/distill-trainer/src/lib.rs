//! One trainer for every distillation method.
//!
//! A [`DistillMethod`] says who is trained ([`Player`]), in which order ([`Turn`]) and on what ([`Objective`]); the
//! [`Trainer`] does the rest: freezing, optimizers, averages, checkpoints, logs. No code here names a method, and this
//! crate does not depend on the one that holds them.
//!
//! ```text
//! step ──► turns(progress) ──► for each turn: freeze the others ─► objective ─► backward ─► optimizer step
//!      └─► averages ─► directives ─► tick: observers see the averaged student ─► checkpoint
//! ```
#![forbid(unsafe_code)]

mod checkpoint;
mod config;
pub mod conformance;
mod data_parallel;
mod drift;
mod ema;
mod error;
#[cfg(test)]
mod fixture;
mod freeze;
mod gradients;
mod interrupt;
mod ledger;
mod method;
mod non_finite;
pub mod observer;
mod optimizer;
pub mod plan;
mod player_state;
mod precision;
mod recording;
mod report;
mod resume;
mod run;
mod save;
pub mod settings;
mod step;
mod trainer;

pub use checkpoint::{Better, CheckpointFolder, Manifest};
pub use config::{Decay, OnNonFinite, RoleConfig, TrainConfig};
pub use ema::{
    AppliedEma, Ema, EmaConfig, EmaSnapshots, PowerEma, PowerProfile, posthoc_coefficients,
};
pub use error::{Error, Result};
pub use interrupt::Interrupt;
pub use method::{Directive, DistillMethod, Objective, Player, Progress, Role, Turn};
pub use observer::{Flow, Observer, RunInfo, Tick};
pub use optimizer::{Algorithm, Optimizer, OptimizerConfig};
pub use plan::Plan;
pub use precision::Precision;
pub use resume::{Resume, Resumed};
pub use trainer::{Outcome, Trainer};
