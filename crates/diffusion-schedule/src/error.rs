//! What can be wrong with a schedule.

/// The result of a fallible operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error with the value that caused it and what to do about it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A number of steps that no sampler can take.
    #[error("`steps` is {steps}; use 1 to {limit}")]
    Steps {
        /// The number of steps.
        steps: usize,
        /// The largest number that is accepted.
        limit: usize,
    },
    /// A value that must be finite and above 0.
    #[error("`{name}` is {value}; use a finite number greater than 0")]
    NotPositive {
        /// The field.
        name: &'static str,
        /// Its value.
        value: f64,
    },
    /// A value that must not be below 0.
    #[error("`{name}` is {value}; use a number of at least 0")]
    Negative {
        /// The field.
        name: &'static str,
        /// Its value.
        value: f64,
    },
    /// A range of noise levels that holds nothing.
    #[error("the range of noise levels {low} to {high} is empty; give the lower level first")]
    EmptyRange {
        /// Its lower end.
        low: f64,
        /// Its upper end.
        high: f64,
    },
    /// A grid exponent that is not usable.
    #[error("`rho` is {rho}; use 1 to 100 (7 is usual)")]
    Rho {
        /// The exponent.
        rho: f64,
    },
    /// A discrete process of a length that no table should have.
    #[error("a process of {steps} steps; use {least} to {limit}")]
    ProcessSteps {
        /// The number of steps.
        steps: usize,
        /// The smallest number that is accepted.
        least: usize,
        /// The largest number that is accepted.
        limit: usize,
    },
    /// A noise rate that leaves nothing of the image, or adds no noise.
    #[error("`{name}` is {value}; use a number above 0 and below 1")]
    Beta {
        /// The field.
        name: &'static str,
        /// Its value.
        value: f64,
    },
    /// A timestep that the process does not have.
    #[error(
        "{steps} steps would visit timestep {timestep}, but the last is {last}; use fewer steps or a smaller `steps_offset`"
    )]
    Timestep {
        /// The number of sampling steps.
        steps: usize,
        /// The timestep.
        timestep: f64,
        /// The process's last timestep.
        last: usize,
    },
    /// A scheduler's file that is not a JSON object.
    #[error("the scheduler's configuration cannot be read: {reason}")]
    SchedulerJson {
        /// What is wrong, and where.
        reason: String,
    },
    /// A scheduler of a class that is not known.
    #[error("the scheduler `{class}` is not supported; supported are {supported}")]
    SchedulerClass {
        /// The class.
        class: String,
        /// The names of the known ones.
        supported: String,
    },
    /// A setting of a scheduler that would change numbers and is not supported.
    #[error("the scheduler's `{field}` is {value}; supported is {expected}")]
    SchedulerSetting {
        /// The field.
        field: &'static str,
        /// Its value, as JSON.
        value: String,
        /// What is supported.
        expected: &'static str,
    },
    /// A multistep sampler without levels.
    #[error("`sigmas` is empty; give at least one noise level, the highest first")]
    NoLevels,
    /// Levels of a multistep sampler that do not descend.
    #[error("`sigmas` must descend, but position {position} holds {sigma} after {previous}")]
    NotDescending {
        /// The position of the offending level.
        position: usize,
        /// The level before it.
        previous: f64,
        /// The offending level.
        sigma: f64,
    },
}

impl Error {
    /// Refuses anything but a finite number above 0.
    pub(crate) fn check_positive(name: &'static str, value: f64) -> Result<()> {
        if value.is_finite() && value > 0.0 {
            Ok(())
        } else {
            Err(Self::NotPositive { name, value })
        }
    }

    /// Refuses numbers below 0 and NaN.
    pub(crate) fn check_not_negative(name: &'static str, value: f64) -> Result<()> {
        if value >= 0.0 { Ok(()) } else { Err(Self::Negative { name, value }) }
    }
}
