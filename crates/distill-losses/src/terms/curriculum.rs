//! How many levels, and how slow a target, at each step of consistency training.

use serde::{Deserialize, Serialize};

/// The number of noise levels `N` at a step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Scales {
    /// Always the same.
    Fixed {
        /// Number of levels.
        scales: u64,
    },
    /// From `start` to `end`, growing as the square root of the step.
    Progressive {
        /// Levels (less one) at the start.
        start: u64,
        /// Levels (less one) at the end.
        end: u64,
        /// Steps of the whole run.
        total_steps: u64,
    },
    /// Halved every `steps_per_stage` steps, down to 1; the stages with 2 and 1 levels last twice as long.
    Halving {
        /// Number of levels at the start, a power of two.
        start: u64,
        /// Steps of a stage.
        steps_per_stage: u64,
    },
}

/// The decay of the target network's average at a step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum TargetEma {
    /// Always the same; 0 makes the target the student itself.
    Fixed {
        /// Share of the old target that is kept.
        decay: f64,
    },
    /// Closer to 1 the finer the levels: `μ = exp(s₀ ln μ₀ / (N − 1))`.
    Adaptive {
        /// The decay at the start of the curriculum.
        decay: f64,
    },
}

/// Levels and target decay together, as consistency models define them.
///
/// ```text
/// S(k) = max(⌈√((k/K)((s₁+1)² − s₀²) + s₀²) − 1⌉, 1),   N(k) = S + 1,   μ(k) = exp(s₀ ln μ₀ / S)
/// ```
///
/// The official code divides by `S = N − 1`, not by `N` as the paper prints it.
///
/// # Source
/// Song et al. 2023, arXiv:2303.01469, appendix C; official code `cm/script_util.py`.
///
/// # Example
/// ```
/// use distill_losses::terms::{Curriculum, Scales, TargetEma};
/// let curriculum = Curriculum {
///     scales: Scales::Progressive { start: 2, end: 200, total_steps: 800_000 },
///     target: TargetEma::Adaptive { decay: 0.95 },
/// };
/// assert_eq!(curriculum.scales(100_000), 72);
/// assert!((curriculum.target_decay(10_000) - 0.99535).abs() < 1e-5);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curriculum {
    /// The number of levels.
    pub scales: Scales,
    /// The target's decay.
    pub target: TargetEma,
}

impl Curriculum {
    /// The number of levels at a step.
    pub fn scales(&self, step: u64) -> u64 {
        match self.scales {
            Scales::Fixed { scales } => scales,
            Scales::Progressive { start, end, total_steps } => {
                let (s0, s1) = (start as f64, end as f64);
                let done = step as f64 / total_steps as f64;
                let s = (done * ((s1 + 1.0).powi(2) - s0 * s0) + s0 * s0).sqrt() - 1.0;
                s.ceil().max(1.0) as u64 + 1
            }
            Scales::Halving { start, steps_per_stage } => halved(start, steps_per_stage, step),
        }
    }

    /// The target's decay at a step.
    pub fn target_decay(&self, step: u64) -> f64 {
        let start = match self.scales {
            Scales::Fixed { scales } => scales,
            Scales::Progressive { start, .. } | Scales::Halving { start, .. } => start,
        };
        match self.target {
            TargetEma::Fixed { decay } => decay,
            TargetEma::Adaptive { decay } => {
                (start as f64 * decay.ln() / (self.scales(step) - 1) as f64).exp()
            }
        }
    }
}

fn halved(start: u64, steps_per_stage: u64, step: u64) -> u64 {
    let to_two = u64::from(start.ilog2()) - 1; // stages until two levels are left
    if step < steps_per_stage * to_two {
        return start >> (step / steps_per_stage);
    }
    let doubled_stage = (step - steps_per_stage * to_two) / (2 * steps_per_stage);
    (2 >> doubled_stage.min(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of the official schedule for s₀ = 2, s₁ = 200, μ₀ = 0.95, K = 800k.
    #[test]
    fn consistency_training_on_imagenet() {
        let curriculum = Curriculum {
            scales: Scales::Progressive { start: 2, end: 200, total_steps: 800_000 },
            target: TargetEma::Adaptive { decay: 0.95 },
        };
        let scales = [0, 10_000, 100_000, 400_000, 800_000].map(|step| curriculum.scales(step));
        assert_eq!(scales, [2, 23, 72, 143, 201]);
        assert!((curriculum.target_decay(0) - 0.9025).abs() < 1e-12);
        assert!((curriculum.target_decay(800_000) - 0.99949).abs() < 1e-5);
    }

    #[test]
    fn halving_ends_at_one() {
        let curriculum = Curriculum {
            scales: Scales::Halving { start: 8, steps_per_stage: 10 },
            target: TargetEma::Fixed { decay: 0.0 },
        };
        let scales = [0, 9, 10, 19, 20, 39, 40, 1_000].map(|step| curriculum.scales(step));
        assert_eq!(scales, [8, 8, 4, 4, 2, 2, 1, 1]);
    }
}
