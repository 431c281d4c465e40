//! The schedulers that are known, and what each takes from its file.

use crate::{Error, Respacing, Result, TimestepRule, TimestepSpacing};

/// A scheduler of diffusers whose settings can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SchedulerClass {
    /// `DDPMScheduler`.
    Ddpm,
    /// `DDIMScheduler`.
    Ddim,
    /// `PNDMScheduler`.
    Pndm,
    /// `EulerDiscreteScheduler`.
    Euler,
    /// `EulerAncestralDiscreteScheduler`.
    EulerAncestral,
    /// `HeunDiscreteScheduler`.
    Heun,
    /// `LMSDiscreteScheduler`.
    Lms,
    /// `DPMSolverMultistepScheduler`.
    DpmMultistep,
    /// `DPMSolverSinglestepScheduler`.
    DpmSinglestep,
    /// `DEISMultistepScheduler`.
    Deis,
    /// `UniPCMultistepScheduler`.
    UniPc,
    /// `LCMScheduler`.
    Lcm,
    /// `TCDScheduler`.
    Tcd,
}

/// What schedulers that place timesteps alike have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    /// Whole timesteps.
    Whole,
    /// Levels first; fractional timesteps are as good.
    Levels,
    /// Multistep solvers: whole timesteps, one more than there are steps.
    Solver,
    /// Samplers of consistency models: some of the timesteps of the distillation.
    Consistency,
}

use SchedulerClass::{
    Ddim, Ddpm, Deis, DpmMultistep, DpmSinglestep, Euler, EulerAncestral, Heun, Lcm, Lms, Pndm,
    Tcd, UniPc,
};

/// Settings that not every scheduler takes, and those that do. Others ignore them: files keep settings of the scheduler
/// that they were once converted from.
const TAKEN_BY: &[(&str, &[SchedulerClass])] = &[
    (
        "timestep_spacing",
        &[Ddpm, Ddim, Pndm, Euler, EulerAncestral, Heun, Lms, DpmMultistep, Deis, UniPc],
    ),
    (
        "steps_offset",
        &[Ddpm, Ddim, Pndm, Euler, EulerAncestral, Heun, Lms, DpmMultistep, Deis, UniPc],
    ),
    ("rescale_betas_zero_snr", &[Ddpm, Ddim, Euler, EulerAncestral, DpmMultistep, UniPc, Lcm, Tcd]),
    ("clip_sample", &[Ddpm, Ddim, Heun, Lcm, Tcd]),
    ("clip_sample_range", &[Ddpm, Ddim, Heun, Lcm, Tcd]),
    ("thresholding", &[Ddpm, Ddim, DpmMultistep, DpmSinglestep, Deis, UniPc, Lcm, Tcd]),
    ("set_alpha_to_one", &[Ddim, Pndm, Lcm, Tcd]),
    ("final_sigmas_type", &[Euler, DpmMultistep, DpmSinglestep, UniPc]),
    ("use_karras_sigmas", &[Euler, Heun, Lms, DpmMultistep, DpmSinglestep, Deis, UniPc]),
    ("use_exponential_sigmas", &[Euler, Heun, Lms, DpmMultistep, DpmSinglestep, Deis, UniPc]),
    ("use_beta_sigmas", &[Euler, Heun, Lms, DpmMultistep, DpmSinglestep, Deis, UniPc]),
    ("use_lu_lambdas", &[DpmMultistep]),
    ("use_flow_sigmas", &[DpmMultistep, DpmSinglestep, Deis, UniPc]),
    ("lambda_min_clipped", &[DpmMultistep, DpmSinglestep]),
    ("interpolation_type", &[Euler]),
    ("timestep_type", &[Euler]),
    ("sigma_min", &[Euler, UniPc]),
    ("sigma_max", &[Euler, UniPc]),
    ("shift_terminal", &[UniPc]),
    ("original_inference_steps", &[Lcm, Tcd]),
    ("timestep_scaling", &[Lcm]),
];

impl SchedulerClass {
    /// Every known scheduler.
    pub const ALL: [Self; 13] = [
        Ddpm,
        Ddim,
        Pndm,
        Euler,
        EulerAncestral,
        Heun,
        Lms,
        DpmMultistep,
        DpmSinglestep,
        Deis,
        UniPc,
        Lcm,
        Tcd,
    ];

    /// The name of the class in diffusers.
    pub fn name(self) -> &'static str {
        match self {
            Ddpm => "DDPMScheduler",
            Ddim => "DDIMScheduler",
            Pndm => "PNDMScheduler",
            Euler => "EulerDiscreteScheduler",
            EulerAncestral => "EulerAncestralDiscreteScheduler",
            Heun => "HeunDiscreteScheduler",
            Lms => "LMSDiscreteScheduler",
            DpmMultistep => "DPMSolverMultistepScheduler",
            DpmSinglestep => "DPMSolverSinglestepScheduler",
            Deis => "DEISMultistepScheduler",
            UniPc => "UniPCMultistepScheduler",
            Lcm => "LCMScheduler",
            Tcd => "TCDScheduler",
        }
    }

    /// The scheduler of that name.
    ///
    /// # Errors
    /// [`Error::SchedulerClass`] if there is none.
    pub fn from_name(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name).ok_or_else(|| {
            let supported = Self::ALL.map(Self::name).join(", ");
            Error::SchedulerClass { class: name.into(), supported }
        })
    }

    /// Whether the scheduler knows the setting.
    pub(super) fn takes(self, field: &str) -> bool {
        let row = TAKEN_BY.iter().find(|(name, _)| *name == field);
        row.is_none_or(|(_, classes)| classes.contains(&self))
    }

    /// The first and last noise rate of files without.
    pub(super) fn default_betas(self) -> (f64, f64) {
        match self {
            Lcm | Tcd | Heun => (0.00085, 0.012),
            _ => (1e-4, 0.02),
        }
    }

    /// Whether the predicted image is clamped by files that do not say.
    pub(super) fn clips_by_default(self) -> bool {
        matches!(self, Ddpm | Ddim)
    }

    /// Whether sampling ends at the image itself, and not at the lowest level, by files that do not say.
    pub(super) fn ends_at_zero_by_default(self) -> bool {
        !matches!(self, Pndm | Deis)
    }

    /// Whether the distilled timesteps are the grid.
    pub(super) fn is_consistency(self) -> bool {
        self.family() == Family::Consistency
    }

    /// The spacing of files without.
    pub(super) fn default_spacing(self) -> TimestepSpacing {
        match self.family() {
            Family::Whole => TimestepSpacing::Leading,
            _ => TimestepSpacing::Linspace,
        }
    }

    /// This scheduler's form of `leading`, `trailing` or `linspace`.
    pub(super) fn spacing(self, named: TimestepSpacing) -> TimestepSpacing {
        match (self.family(), named) {
            (Family::Levels, TimestepSpacing::Linspace) => TimestepSpacing::LinspaceFractional,
            (Family::Solver, TimestepSpacing::Linspace) => TimestepSpacing::LinspaceOpen,
            (Family::Solver, TimestepSpacing::Leading) => TimestepSpacing::LeadingOpen,
            (_, named) => named,
        }
    }

    /// This scheduler's form of `use_karras_sigmas`.
    pub(super) fn karras(self) -> Respacing {
        match self.family() {
            Family::Solver => Respacing::KarrasWhole,
            _ => Respacing::KarrasWithin,
        }
    }

    /// Which timestep this scheduler gives the network.
    pub(super) fn timestep(self) -> TimestepRule {
        match self.family() {
            Family::Levels => TimestepRule::Interpolated,
            _ => TimestepRule::Nearest,
        }
    }

    fn family(self) -> Family {
        match self {
            Ddpm | Ddim | Pndm => Family::Whole,
            Euler | EulerAncestral | Heun | Lms => Family::Levels,
            DpmMultistep | DpmSinglestep | Deis | UniPc => Family::Solver,
            Lcm | Tcd => Family::Consistency,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_finds_its_class() {
        for class in SchedulerClass::ALL {
            assert_eq!(SchedulerClass::from_name(class.name()), Ok(class));
        }
        let unknown = SchedulerClass::from_name("FlowMatchEulerDiscreteScheduler").unwrap_err();
        let message = unknown.to_string();
        assert!(
            message.contains("FlowMatchEuler") && message.contains("TCDScheduler"),
            "{message}"
        );
    }

    #[test]
    fn settings_are_taken_by_the_schedulers_that_have_them() {
        assert!(Ddim.takes("set_alpha_to_one") && !Euler.takes("set_alpha_to_one"));
        assert!(Lcm.takes("beta_start") && !Lcm.takes("timestep_spacing"));
        for (row, (field, _)) in TAKEN_BY.iter().enumerate() {
            assert!(TAKEN_BY[..row].iter().all(|(other, _)| other != field), "{field} twice");
        }
    }
}
