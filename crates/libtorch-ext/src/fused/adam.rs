//! Adam and AdamW.

use super::check_length;
use crate::Result;
use crate::ffi::{self, check, pointers};
use tch::Tensor;

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
/// `grads[i]`, `exp_avg[i]` (m) and `exp_avg_sq[i]` (v) as `params[i]`, on the same device; `steps[i]` (t) is an `f32`
/// scalar per parameter, the number of steps taken so far, incremented here. The moments must also lie in memory as
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
/// use libtorch_ext::fused::{AdamStep, adam_step};
/// use tch::Tensor;
/// let p = [Tensor::from_slice(&[1f32, -1.0])];
/// let g = [Tensor::from_slice(&[0.5f32, -2.0])];
/// let (m, v, t) = ([p[0].zeros_like()], [p[0].zeros_like()], [Tensor::from(0f32)]);
/// let step = AdamStep { lr: 0.1, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, decoupled: false };
/// adam_step(&p, &g, &m, &v, &t, &step)?;
/// // The first step moves every parameter by the learning rate, against the sign of its gradient.
/// assert!((p[0].double_value(&[0]) - 0.9).abs() < 1e-6 && (p[0].double_value(&[1]) + 0.9).abs() < 1e-6);
/// # Ok::<(), libtorch_ext::Error>(())
/// ```
pub fn adam_step(
    params: &[Tensor],
    grads: &[Tensor],
    exp_avg: &[Tensor],
    exp_avg_sq: &[Tensor],
    steps: &[Tensor],
    step: &AdamStep,
) -> Result<()> {
    const NAME: &str = "fused::adam_step";
    for (list, tensors) in
        [("gradients", grads), ("exp_avg", exp_avg), ("exp_avg_sq", exp_avg_sq), ("steps", steps)]
    {
        check_length(NAME, list, params.len(), tensors.len())?;
    }
    if params.is_empty() {
        return Ok(());
    }
    let &AdamStep { lr, beta1, beta2, eps, weight_decay, decoupled } = step;
    let step = ffi::AdamStep { lr, beta1, beta2, eps, weight_decay, decoupled };
    let [p, g, m, v, t] = [params, grads, exp_avg, exp_avg_sq, steps].map(pointers);
    // SAFETY: five lists of `params.len()` pointers to tensors that are borrowed for the call, and a valid struct.
    let message = unsafe {
        ffi::fewstep_adam_step(
            p.as_ptr(),
            g.as_ptr(),
            m.as_ptr(),
            v.as_ptr(),
            t.as_ptr(),
            p.len(),
            &raw const step,
        )
    };
    check(NAME, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use tch::{Device, Kind};

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
        let t: Vec<Tensor> = p.iter().map(|_| Tensor::from(0f32)).collect();
        let mut expected: Vec<[Tensor; 3]> = p
            .iter()
            .map(|p| {
                let p = p.detach().to_kind(Kind::Double);
                [p.copy(), p.zeros_like(), p.zeros_like()]
            })
            .collect();
        for n in 1..=5 {
            let g: Vec<Tensor> = SHAPES.iter().map(|shape| wave(shape, f64::from(n))).collect();
            adam_step(&p, &g, &m, &v, &t, &step).unwrap();
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
            assert_eq!(t[i].double_value(&[]), 5.0);
        }
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
            adam_step(&p, &[g], &m, &v, &[Tensor::from(0f32)], &ADAM).unwrap();
            p[0].copy()
        };
        assert_eq!(after(g), after(transposed));
    }

    #[test]
    fn lists_of_different_lengths_are_refused() {
        let p = [wave(&[2], 0.0)];
        let error = adam_step(&p, &[], &p, &p, &p, &ADAM).unwrap_err();
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
        let t = [Tensor::from(0f32)];
        let error = adam_step(&p, &g, &m, &zeros_like(&p), &t, &ADAM).unwrap_err();
        assert!(error.to_string().contains("zeros_like(parameter)"), "{error}");
        let error = adam_step(&p, &[wave(&[3, 4], 1.0)], &p, &p, &t, &ADAM).unwrap_err();
        assert!(error.to_string().contains("gradient 0 has sizes [3, 4]"), "{error}");
        assert_eq!((&p[0], t[0].double_value(&[])), (&wave(&[4, 3], 0.0), 0.0));
    }
}
