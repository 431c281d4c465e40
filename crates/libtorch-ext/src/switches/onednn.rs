//! Computing without oneDNN.

use super::overlap::Overlap;
use crate::ffi::{self, Message};

unsafe extern "C" {
    fn fewstep_set_onednn(on: bool, previous: *mut bool) -> Message;
}

static GUARDS: Overlap<bool> = Overlap::new();

/// A scope in which libtorch does not use oneDNN, its library of convolutions and matrix products on the CPU.
///
/// Convolutions are three times slower and round differently: this is for finding out whether a difference comes from
/// there. The setting is one of the whole process; it ends with the last of several guards.
///
/// # Example
/// ```
/// use libtorch_ext::switches::WithoutOneDnn;
/// use tch::{Device, Kind, Tensor};
/// let x = Tensor::ones([1, 1, 3, 3], (Kind::Float, Device::Cpu));
/// let _plain = WithoutOneDnn::new();
/// let y = x.conv2d(&x, None::<&Tensor>, [1, 1], [0, 0], [1, 1], 1);
/// assert_eq!(y.double_value(&[0, 0, 0, 0]), 9.0);
/// ```
#[derive(Debug)]
#[must_use = "oneDNN is back when the guard is dropped"]
pub struct WithoutOneDnn(());

impl WithoutOneDnn {
    /// Switches oneDNN off.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        GUARDS.enter(|| set(false));
        Self(())
    }
}

impl Drop for WithoutOneDnn {
    fn drop(&mut self) {
        GUARDS.exit(|previous| {
            set(previous);
        });
    }
}

/// Returns whether it was on before.
fn set(on: bool) -> bool {
    let mut previous = false;
    // SAFETY: a place for the answer.
    let message = unsafe { fewstep_set_onednn(on, &raw mut previous) };
    super::infallible(ffi::check("switches::WithoutOneDnn", message));
    previous
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind, Tensor};

    #[test]
    fn convolutions_agree_and_the_setting_comes_back() {
        let size = [2i64, 16, 16, 16];
        let count = size.iter().product::<i64>();
        let x = (Tensor::arange(count, (Kind::Float, Device::Cpu)) * 0.37).sin().reshape(size);
        let weight = x.reshape([8, 16, 8, 8]).narrow(2, 0, 3).narrow(3, 0, 3).contiguous();
        let run = || x.conv2d(&weight, None::<&Tensor>, [1, 1], [1, 1], [1, 1], 1);
        let expected = run();
        {
            let _plain = WithoutOneDnn::new();
            assert!(!set(false), "off inside");
            assert!((run() - &expected).abs().max().double_value(&[]) < 1e-3);
        }
        assert!(set(true), "on again outside");
    }
}
