//! The order in which the elements of images and weights lie in memory.

use crate::Result;
use crate::ffi::{self, Message};
use tch::Tensor;
use torch_sys::C_tensor;

unsafe extern "C" {
    fn fewstep_contiguous(
        tensor: *const C_tensor,
        format: i8,
        result: *mut *mut C_tensor,
    ) -> Message;
    fn fewstep_is_contiguous(tensor: *const C_tensor, format: i8, result: *mut bool) -> Message;
    fn fewstep_suggest_format(tensor: *const C_tensor, format: *mut i8) -> Message;
}

/// Which axis is the innermost one in memory. Sizes and values do not depend on it, strides do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemoryFormat {
    /// The last axis: rows, then columns, then channels.
    Contiguous,
    /// The channels of `[B, C, H, W]`: all the channels of a pixel lie together. Convolutions are fastest so.
    ChannelsLast,
    /// The channels of `[B, C, D, H, W]`.
    ChannelsLast3d,
}

impl MemoryFormat {
    /// The value of `c10::MemoryFormat`.
    fn code(self) -> i8 {
        match self {
            Self::Contiguous => 0,
            Self::ChannelsLast => 2,
            Self::ChannelsLast3d => 3,
        }
    }

    fn from_code(code: i8) -> Self {
        match code {
            2 => Self::ChannelsLast,
            3 => Self::ChannelsLast3d,
            _ => Self::Contiguous,
        }
    }
}

/// The same values in a memory format; the tensor itself if it has that already.
///
/// # Gradient
/// Flows.
///
/// # Errors
/// [`crate::Error::Torch`] if the format is for another number of axes.
///
/// # Example
/// ```
/// use libtorch_ext::memory_format::{MemoryFormat, contiguous};
/// use tch::{Device, Kind, Tensor};
/// let images = Tensor::zeros([2, 3, 4, 5], (Kind::Float, Device::Cpu));
/// let images = contiguous(&images, MemoryFormat::ChannelsLast)?;
/// assert_eq!((images.size(), images.stride()), (vec![2, 3, 4, 5], vec![60, 1, 15, 3]));
/// # Ok::<(), libtorch_ext::Error>(())
/// ```
pub fn contiguous(tensor: &Tensor, format: MemoryFormat) -> Result<Tensor> {
    // SAFETY: a borrowed tensor and a place for one tensor.
    ffi::new_tensor("memory_format::contiguous", |result| unsafe {
        fewstep_contiguous(tensor.as_ptr(), format.code(), result)
    })
}

/// Images or convolution weights with their channels last; tensors of other than four or five axes as they are.
///
/// # Gradient
/// Flows.
///
/// # Errors
/// [`crate::Error::Torch`] if memory runs out.
pub fn to_channels_last(tensor: &Tensor) -> Result<Tensor> {
    match tensor.dim() {
        4 => contiguous(tensor, MemoryFormat::ChannelsLast),
        5 => contiguous(tensor, MemoryFormat::ChannelsLast3d),
        _ => Ok(tensor.shallow_clone()),
    }
}

/// Whether the elements lie in this order without gaps. Several formats can hold at once: with one channel, or one pixel,
/// there is no difference.
pub fn is_contiguous(tensor: &Tensor, format: MemoryFormat) -> bool {
    let mut result = false;
    // SAFETY: a borrowed tensor and a place for the answer.
    let message = unsafe { fewstep_is_contiguous(tensor.as_ptr(), format.code(), &raw mut result) };
    ffi::check("memory_format::is_contiguous", message).is_ok() && result
}

/// The format that operations will give to what they make of this tensor, judged by its strides.
///
/// # Panics
/// If the tensor is undefined.
pub fn suggest(tensor: &Tensor) -> MemoryFormat {
    let mut format = 0;
    // SAFETY: a borrowed tensor and a place for the answer.
    let message = unsafe { fewstep_suggest_format(tensor.as_ptr(), &raw mut format) };
    ffi::check("memory_format::suggest", message).expect("a defined tensor has a format");
    MemoryFormat::from_code(format)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    fn images() -> Tensor {
        Tensor::arange(2 * 3 * 4 * 5, (Kind::Float, Device::Cpu)).reshape([2, 3, 4, 5])
    }

    #[test]
    fn values_stay_and_strides_change() {
        let plain = images();
        let last = contiguous(&plain, MemoryFormat::ChannelsLast).unwrap();
        assert_eq!(last, plain);
        assert_eq!(last.stride(), [60, 1, 15, 3]);
        assert_eq!(suggest(&last), MemoryFormat::ChannelsLast);
        assert!(is_contiguous(&last, MemoryFormat::ChannelsLast));
        assert!(!is_contiguous(&last, MemoryFormat::Contiguous));
        let back = contiguous(&last, MemoryFormat::Contiguous).unwrap();
        assert_eq!((back.stride(), suggest(&back)), (plain.stride(), MemoryFormat::Contiguous));
    }

    #[test]
    fn what_has_the_format_is_not_copied() {
        let last = to_channels_last(&images()).unwrap();
        assert_eq!(to_channels_last(&last).unwrap().data_ptr(), last.data_ptr());
        let vector = Tensor::from_slice(&[1f32, 2.0]);
        assert_eq!(to_channels_last(&vector).unwrap().data_ptr(), vector.data_ptr());
    }

    #[test]
    fn volumes_have_a_format_of_their_own() {
        let volume = Tensor::zeros([1, 2, 3, 4, 5], (Kind::Float, Device::Cpu));
        let last = to_channels_last(&volume).unwrap();
        assert_eq!(suggest(&last), MemoryFormat::ChannelsLast3d);
        assert_eq!(last.stride()[1], 1);
    }

    #[test]
    fn convolutions_keep_the_format() {
        let weight = Tensor::ones([4, 3, 3, 3], (Kind::Float, Device::Cpu));
        let [x, weight] = [images(), weight].map(|t| to_channels_last(&t).unwrap());
        let y = x.conv2d(&weight, None::<&Tensor>, [1, 1], [1, 1], [1, 1], 1);
        assert_eq!(suggest(&y), MemoryFormat::ChannelsLast);
    }

    #[test]
    fn gradients_flow() {
        let x = images().set_requires_grad(true);
        let weights = images().sin();
        (to_channels_last(&x).unwrap() * &weights).sum(Kind::Float).backward();
        assert_eq!(x.grad(), weights);
    }

    #[test]
    fn a_vector_has_no_channels() {
        let vector = Tensor::from_slice(&[1f32, 2.0]);
        assert!(contiguous(&vector, MemoryFormat::ChannelsLast).is_err());
        assert!(!is_contiguous(&vector, MemoryFormat::ChannelsLast));
    }
}
