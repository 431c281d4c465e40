//! Adam and AdamW.

use super::check_length;
use crate::ffi::{self, check, pointers};
use crate::{Error, Result};
use std::ptr::null;
use tch::{Kind, Tensor};

/// The settings of one [`adam_step`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// The learning rate of this step.
    pub lr: f64,
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Weight decay; zero for none.
    pub weight_decay: f64,
    /// Whether weight decay shrinks the parameters themselves (AdamW) or is added to the gradients (Adam with L2).
    pub decoupled: bool,
}

/// Scalars of a step that stay on the device, so that deciding them waits for nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct OnDevice<'a> {
    /// All gradients are divided by it first, in place: an `f32` scalar, such as the factor of gradient clipping
    /// upside down.
    pub divisor: Option<&'a Tensor>,
    /// Where it is 1, nothing moves and nothing is counted; 0 steps as usual. An `f32` scalar.
    pub skip: Option<&'a Tensor>,
}

impl OnDevice<'_> {
    fn check(&self) -> Result<()> {
        for (name, scalar) in [("divisor", self.divisor), ("skip", self.skip)] {
            if let Some(scalar) = scalar
                && (scalar.kind() != Kind::Float || scalar.numel() != 1)
            {
                let message = format!("{name} must be an f32 scalar, not {scalar:?}");
                return Err(Error::Torch { operation: NAME, message });
            }
        }
        Ok(())
    }
}

const NAME: &str = "fused::adam_step";

/// One step of Adam or AdamW, in place, over all parameters at once.
///
/// ```text
/// t ← t + 1
/// decoupled:  p ← p − lr λ p           otherwise:  g ← g + λ p
/// m ← β₁ m + (1 − β₁) g
/// v ← β₂ v + (1 − β₂) g²
/// p ← p − lr (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε)
/// ```
///
/// # Shapes
/// `grads[i]`, `exp_avg[i]` (m) and `exp_avg_sq[i]` (v) as `params[i]`, on the same device; `updates` (t) is an `f32`
/// scalar on that device, the number of steps taken so far, incremented here. The moments must also lie in memory as
/// their parameter does, which `zeros_like` gives; gradients may lie in any way.
///
/// # Gradient
/// None is recorded.
///
/// # Errors
/// [`crate::Error::LengthMismatch`] if the lists differ in length, [`crate::Error::Torch`] if tensors do not fit each other.
///
/// # Source
/// Kingma & Ba 2015, arXiv:1412.6980, Algorithm 1; Loshchilov & Hutter 2019, arXiv:1711.05101, Algorithm 2, with the
/// decay multiplied by the learning rate as in PyTorch. libtorch's `_fused_adam_` and `_fused_adamw_`.
///
/// # Example
/// ```
/// use libtorch_ext::fused::{AdamStep, OnDevice, adam_step};
/// use tch::Tensor;
/// let p = [Tensor::from_slice(&[1f32, -1.0])];
/// let g = [Tensor::from_slice(&[0.5f32, -2.0])];
/// let (m, v, t) = ([p[0].zeros_like()], [p[0].zeros_like()], Tensor::from(0f32));
/// let step = AdamStep { lr: 0.1, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, decoupled: false };
/// adam_step(&p, &g, &m, &v, &t, &step, OnDevice::default())?;
/// // The first step moves every parameter by the learning rate, against the sign of its gradient.
/// assert!((p[0].double_value(&[0]) - 0.9).abs() < 1e-6 && (p[0].double_value(&[1]) + 0.9).abs() < 1e-6);
/// # Ok::<(), libtorch_ext::Error>(())
/// ```
pub fn adam_step(
    params: &[Tensor],
    grads: &[Tensor],
    exp_avg: &[Tensor],
    exp_avg_sq: &[Tensor],
    updates: &Tensor,
    step: &AdamStep,
    on_device: OnDevice<'_>,
) -> Result<()> {
    for (list, tensors) in [("gradients", grads), ("exp_avg", exp_avg), ("exp_avg_sq", exp_avg_sq)]
    {
        check_length(NAME, list, params.len(), tensors.len())?;
    }
    if params.is_empty() {
        return Ok(());
    }
    on_device.check()?;
    let &AdamStep { lr, beta1, beta2, eps, weight_decay, decoupled } = step;
    let step = ffi::AdamStep { lr, beta1, beta2, eps, weight_decay, decoupled };
    let [p, g, m, v] = [params, grads, exp_avg, exp_avg_sq].map(pointers);
    let pointer = |scalar: Option<&Tensor>| scalar.map_or(null(), |scalar| scalar.as_ptr());
    // SAFETY: four lists of `params.len()` pointers to tensors, three single ones of which two may be null, and a valid
    // struct, all borrowed for the call.
    let message = unsafe {
        ffi::fewstep_adam_step(
            p.as_ptr(),
            g.as_ptr(),
            m.as_ptr(),
            v.as_ptr(),
            p.len(),
            updates.as_ptr(),
            &raw const step,
            pointer(on_device.divisor),
            pointer(on_device.skip),
        )
    };
    check(NAME, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    const SHAPES: [&[i64]; 3] = [&[7], &[3, 2, 3, 3], &[]];

    /// Smooth, different numbers for every tensor and step; no random generator needed.
    fn wave(shape: &[i64], phase: f64) -> Tensor {
        let count: i64 = shape.iter().product();
        let angle = Tensor::arange(count, (Kind::Double, Device::Cpu)) * 0.7 + phase;
        angle.sin().to_kind(Kind::Float).view(shape)
    }

    fn zeros_like(tensors: &[Tensor]) -> Vec<Tensor> {
        tensors.iter().map(Tensor::zeros_like).collect()
    }

    /// The formula of [`adam_step`], in f64, for one parameter; returns p, m, v.
    fn formula(
        p: &Tensor,
        g: &Tensor,
        m: &Tensor,
        v: &Tensor,
        t: i32,
        s: &AdamStep,
    ) -> [Tensor; 3] {
        let [l2, shrink] =
            if s.decoupled { [0.0, s.lr * s.weight_decay] } else { [s.weight_decay, 0.0] };
        let (p, g) = (p * (1.0 - shrink), g + p * l2);
        let m = m * s.beta1 + &g * (1.0 - s.beta1);
        let v = v * s.beta2 + g.square() * (1.0 - s.beta2);
        let m_hat = &m / (1.0 - s.beta1.powi(t));
        let v_hat = &v / (1.0 - s.beta2.powi(t));
        [p - m_hat * s.lr / (v_hat.sqrt() + s.eps), m, v]
    }

    fn assert_follows_the_formula(step: AdamStep) {
        let p: Vec<Tensor> =
            SHAPES.iter().map(|shape| wave(shape, 0.1).set_requires_grad(true)).collect();
        let (m, v) = (zeros_like(&p), zeros_like(&p));
        let t = Tensor::from(0f32);
        let mut expected: Vec<[Tensor; 3]> = p
            .iter()
            .map(|p| {
                let p = p.detach().to_kind(Kind::Double);
                [p.copy(), p.zeros_like(), p.zeros_like()]
            })
            .collect();
        for n in 1..=5 {
            let g: Vec<Tensor> = SHAPES.iter().map(|shape| wave(shape, f64::from(n))).collect();
            adam_step(&p, &g, &m, &v, &t, &step, OnDevice::default()).unwrap();
            for (state, g) in expected.iter_mut().zip(&g) {
                let [p, m, v] = &*state;
                *state = formula(p, &g.to_kind(Kind::Double), m, v, n, &step);
            }
        }
        for (i, [p_expected, m_expected, v_expected]) in expected.iter().enumerate() {
            for (found, expected) in [(&p[i], p_expected), (&m[i], m_expected), (&v[i], v_expected)]
            {
                let error = (found.detach() - expected).abs().max().double_value(&[]);
                assert!(error < 1e-6, "tensor {i} is off by {error}");
            }
        }
        assert_eq!(t.double_value(&[]), 5.0);
    }

    const ADAM: AdamStep = AdamStep {
        lr: 1e-2,
        beta1: 0.9,
        beta2: 0.99,
        eps: 1e-8,
        weight_decay: 0.0,
        decoupled: false,
    };

    #[test]
    fn adam_follows_its_formula() {
        assert_follows_the_formula(ADAM);
    }

    #[test]
    fn adam_without_momentum_follows_its_formula() {
        assert_follows_the_formula(AdamStep { beta1: 0.0, beta2: 0.999, ..ADAM });
    }

    #[test]
    fn l2_follows_its_formula() {
        assert_follows_the_formula(AdamStep { weight_decay: 0.1, ..ADAM });
    }

    #[test]
    fn adamw_follows_its_formula() {
        assert_follows_the_formula(AdamStep { weight_decay: 0.1, decoupled: true, ..ADAM });
    }

    #[test]
    fn gradients_may_lie_in_memory_in_any_way() {
        let [g, transposed] = [wave(&[4, 3], 1.0), wave(&[4, 3], 1.0).tr().contiguous().tr()];
        assert_ne!(g.stride(), transposed.stride());
        let after = |g: Tensor| {
            let p = [wave(&[4, 3], 0.0)];
            let (m, v) = (zeros_like(&p), zeros_like(&p));
            let t = Tensor::from(0f32);
            adam_step(&p, &[g], &m, &v, &t, &ADAM, OnDevice::default()).unwrap();
            p[0].copy()
        };
        assert_eq!(after(g), after(transposed));
    }

    #[test]
    fn lists_of_different_lengths_are_refused() {
        let p = [wave(&[2], 0.0)];
        let error = adam_step(&p, &[], &p, &p, &p[0], &ADAM, OnDevice::default()).unwrap_err();
        assert!(matches!(
            error,
            Error::LengthMismatch { list: "gradients", expected: 1, found: 0, .. }
        ));
    }

    #[test]
    fn tensors_that_do_not_fit_are_refused_and_nothing_moves() {
        let p = [wave(&[4, 3], 0.0)];
        let g = [wave(&[4, 3], 1.0)];
        let m = [wave(&[4, 3], 0.0).tr().contiguous().tr()];
        let t = Tensor::from(0f32);
        let refused = |g: &[Tensor], m: &[Tensor], v: &[Tensor]| {
            adam_step(&p, g, m, v, &t, &ADAM, OnDevice::default()).unwrap_err()
        };
        let error = refused(&g, &m, &zeros_like(&p));
        assert!(error.to_string().contains("zeros_like(parameter)"), "{error}");
        let error = refused(&[wave(&[3, 4], 1.0)], &p, &p);
        assert!(error.to_string().contains("gradient 0 has sizes [3, 4]"), "{error}");
        assert_eq!((&p[0], t.double_value(&[])), (&wave(&[4, 3], 0.0), 0.0));
    }

    #[test]
    fn a_divisor_acts_as_if_the_gradients_were_smaller() {
        let after = |g: Tensor, divisor: Option<&Tensor>| {
            let p = [wave(&[40], 0.0)];
            let (m, v, t) = (zeros_like(&p), zeros_like(&p), Tensor::from(0f32));
            // A large `eps` makes the step depend on the gradient's length.
            let step = AdamStep { eps: 1.0, ..ADAM };
            adam_step(&p, &[g], &m, &v, &t, &step, OnDevice { divisor, skip: None }).unwrap();
            p[0].copy()
        };
        let four = Tensor::from(4f32);
        assert_eq!(after(wave(&[40], 1.0), Some(&four)), after(wave(&[40], 1.0) / 4.0, None));
        let wrong = OnDevice { divisor: Some(&wave(&[2], 0.0)), skip: None };
        assert!(wrong.check().unwrap_err().to_string().contains("divisor"));
    }

    #[test]
    fn a_skipped_step_moves_and_counts_nothing() {
        for decoupled in [false, true] {
            let step = AdamStep { decoupled, weight_decay: 0.1, ..ADAM };
            let p = [wave(&[40], 0.0)];
            let (m, v, t) = (zeros_like(&p), zeros_like(&p), Tensor::from(0f32));
            let take = |g: Tensor, skip: f32| {
                let skip = Tensor::from(skip);
                let on_device = OnDevice { skip: Some(&skip), divisor: None };
                adam_step(&p, &[g], &m, &v, &t, &step, on_device).unwrap();
            };
            take(wave(&[40], 1.0), 0.0);
            let before = [&p[0], &m[0], &v[0], &t].map(Tensor::copy);
            take(wave(&[40], 1.0) * f64::NAN, 1.0);
            assert_eq!([&p[0], &m[0], &v[0], &t].map(Tensor::copy), before);
            assert_eq!(t.double_value(&[]), 1.0);
        }
    }
}
