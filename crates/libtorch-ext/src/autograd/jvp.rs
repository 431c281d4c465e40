//! Differentiation in forward mode.

use crate::ffi::{self, Message, torch_error};
use crate::{Error, Result};
use std::cell::Cell;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tch::Tensor;

unsafe extern "C" {
    fn fewstep_forward_level_enter(level: *mut u64) -> Message;
    fn fewstep_forward_level_exit(level: u64) -> Message;
}

const NAME: &str = "autograd::jvp";

/// The value of `f` and its derivative in the direction of `tangents`, in one forward pass.
///
/// ```text
/// (f(x), d/dε f(x + ε v) at ε = 0)      x = primals, v = tangents
/// ```
///
/// libtorch can follow one direction at a time in the whole process, so calls from several threads wait for each other.
///
/// # Shapes
/// `tangents[i]` as `primals[i]`; both answers as what `f` returns.
///
/// # Gradient
/// Both answers have a graph where `f` makes one, so that a function of the derivative can be differentiated backwards;
/// detach them, or call it under `no_grad`, where that is not meant.
///
/// # Panics
/// If `f` panics, for instance because an operation has no derivative in forward mode: fused attention has none
/// ([`crate::switches::MathAttention`] chooses the one that has), and group normalization has none for channels-last
/// images.
///
/// # Errors
/// [`Error::LengthMismatch`] if there is not one tangent per primal, [`Error::NestedJvp`] if `f` calls `jvp`,
/// [`Error::Torch`] if a tangent does not fit its primal.
///
/// # Example
/// ```
/// use libtorch_ext::autograd::jvp;
/// use tch::Tensor;
/// let (x, v) = (Tensor::from(3f32), Tensor::from(2f32));
/// let (value, derivative) = jvp(|x| x[0].square(), &[x], &[v])?;
/// assert_eq!((value.double_value(&[]), derivative.double_value(&[])), (9.0, 12.0));
/// # Ok::<(), libtorch_ext::Error>(())
/// ```
pub fn jvp(
    f: impl FnOnce(&[Tensor]) -> Tensor,
    primals: &[Tensor],
    tangents: &[Tensor],
) -> Result<(Tensor, Tensor)> {
    let (expected, found) = (primals.len(), tangents.len());
    if expected != found {
        return Err(Error::LengthMismatch { operation: NAME, list: "tangents", expected, found });
    }
    let level = Level::enter()?;
    let index = i64::try_from(level.index).expect("levels are small numbers");
    let dual = |(primal, tangent)| Tensor::f_internal_make_dual(primal, tangent, index);
    let duals: Result<Vec<_>, _> = primals.iter().zip(tangents).map(dual).collect();
    let output = f(&duals.map_err(|error| torch_error(NAME, &error))?);
    let (value, tangent) = Tensor::f_internal_unpack_dual(&output, index)
        .map_err(|error| torch_error(NAME, &error))?;
    // A result that depends on no primal has no tangent.
    let tangent = if tangent.defined() { tangent } else { value.zeros_like().detach() };
    Ok((value, tangent))
}

/// Levels belong to the process, and libtorch supports one.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

thread_local! {
    /// Whether this thread holds the level: waiting for it again would wait for ever.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// A level of forward-mode differentiation, left also if the function panics.
struct Level {
    index: u64,
    _alone: MutexGuard<'static, ()>,
}

impl Level {
    fn enter() -> Result<Self> {
        if INSIDE.get() {
            return Err(Error::NestedJvp);
        }
        // The mutex protects no data, so a panic while it was held leaves nothing broken.
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let mut index = 0;
        // SAFETY: a place for one number.
        ffi::check(NAME, unsafe { fewstep_forward_level_enter(&raw mut index) })?;
        INSIDE.set(true);
        Ok(Self { index, _alone: alone })
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        INSIDE.set(false);
        // SAFETY: the level was entered when this guard was made, and is left once.
        let message = unsafe { fewstep_forward_level_exit(self.index) };
        ffi::check(NAME, message).expect("a level that was entered can be left");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autograd::{GradOptions, grad};
    use tch::{Device, Kind};

    fn wave(size: &[i64], frequency: f64) -> Tensor {
        let count = size.iter().product::<i64>();
        (Tensor::arange(count, (Kind::Double, Device::Cpu)) * frequency).sin().reshape(size)
    }

    /// What a block of a network consists of: convolution, normalization, activation, modulation by a time.
    fn block(inputs: &[Tensor], weight: &Tensor) -> Tensor {
        let h = inputs[0].conv2d(weight, None::<&Tensor>, [1, 1], [1, 1], [1, 1], 1);
        let h = h.group_norm(2, None::<&Tensor>, None::<&Tensor>, 1e-5, false).silu();
        h * (inputs[1].sin() + 1.0)
    }

    #[test]
    fn the_derivative_is_that_of_finite_differences() {
        let weight = wave(&[4, 4, 3, 3], 0.7);
        let primals = [wave(&[2, 4, 5, 5], 0.37), wave(&[2, 1, 1, 1], 1.1)];
        let tangents = [wave(&[2, 4, 5, 5], 0.91), wave(&[2, 1, 1, 1], 2.3)];
        let (value, tangent) = jvp(|x| block(x, &weight), &primals, &tangents).unwrap();
        assert_eq!(value, block(&primals, &weight));
        let at = |step: f64| {
            let moved = [0, 1].map(|i| &primals[i] + &tangents[i] * step);
            block(&moved, &weight)
        };
        let h = 1e-6;
        let difference = (at(h) - at(-h)) / (2.0 * h);
        let error = (&tangent - difference).abs().max().double_value(&[]);
        assert!(error < 1e-7 && tangent.abs().max().double_value(&[]) > 0.1, "{error:e}");
    }

    /// The derivative of `x³` in the direction `v` is `3x²v`; its gradient in `x` is `6xv`.
    #[test]
    fn the_derivative_can_be_differentiated_backwards() {
        let x = Tensor::from(2f64).set_requires_grad(true);
        let v = Tensor::from(0.5);
        let cube = |x: &[Tensor]| &x[0] * &x[0] * &x[0];
        let (_, tangent) = jvp(cube, &[x.shallow_clone()], &[v]).unwrap();
        assert_eq!(tangent.double_value(&[]), 6.0);
        let gradient = grad(&tangent, &[x], GradOptions::default()).unwrap().remove(0).unwrap();
        assert_eq!(gradient.double_value(&[]), 6.0);
    }

    #[test]
    fn a_constant_has_a_derivative_of_zero() {
        let (value, tangent) =
            jvp(|_| Tensor::from(5f64), &[Tensor::from(1f64)], &[Tensor::from(1f64)]).unwrap();
        assert_eq!((value.double_value(&[]), tangent.double_value(&[])), (5.0, 0.0));
    }

    #[test]
    fn a_panic_leaves_the_level() {
        let one = || [Tensor::from(1f64)];
        let caught = std::panic::catch_unwind(|| jvp(|_| panic!("inside"), &one(), &one()));
        assert!(caught.is_err());
        let (_, tangent) = jvp(|x| &x[0] * 4.0, &one(), &one()).unwrap();
        assert_eq!(tangent.double_value(&[]), 4.0);
    }

    #[test]
    fn threads_take_turns() {
        let slope = |factor: f64| {
            let one = [Tensor::from(1f64)];
            jvp(|x| &x[0] * factor, &one, &one).unwrap().1.double_value(&[])
        };
        let threads: Vec<_> = (0..4)
            .map(|i| {
                std::thread::spawn(move || (0..20).all(|_| slope(f64::from(i)) == f64::from(i)))
            })
            .collect();
        assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
    }

    #[test]
    fn misuse_is_an_error() {
        let one = [Tensor::from(1f64)];
        let nested = jvp(
            |x| {
                let error = jvp(|y| y[0].shallow_clone(), x, &one).unwrap_err();
                assert!(matches!(error, Error::NestedJvp), "{error}");
                x[0].shallow_clone()
            },
            &one,
            &one,
        );
        assert!(nested.is_ok());
        let missing = jvp(|x| x[0].shallow_clone(), &one, &[]).unwrap_err();
        assert!(matches!(missing, Error::LengthMismatch { .. }), "{missing}");
        let wide = [Tensor::from_slice(&[1f64, 2.0])];
        let misfit = jvp(|x| x[0].shallow_clone(), &one, &wide).unwrap_err();
        assert!(matches!(misfit, Error::Torch { .. }), "{misfit}");
    }
}
