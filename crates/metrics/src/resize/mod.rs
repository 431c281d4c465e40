//! Bringing images to the size of a network, as published metrics do.

mod filter;
mod pillow;
mod tensorflow;

use crate::{Error, ImageShape, Result};
use filter::Filter;
use serde::{Deserialize, Serialize};
use std::fmt;
use tch::{Kind, Tensor};

/// How an image of bytes becomes one of another size.
///
/// The choice moves a Fréchet distance by as much as 1, more than most improvements that are reported.
///
/// # Example
/// ```
/// use metrics::Resize;
/// use tch::{Device, Kind, Tensor};
/// let grey = Tensor::full([1, 3, 32, 32], 77, (Kind::Uint8, Device::Cpu));
/// let large = Resize::PillowBicubicFloat.apply(&grey, [299, 299])?;
/// assert_eq!((large.size(), large.kind()), (vec![1, 3, 299, 299], Kind::Float));
/// assert!((large - 77.0).abs().max().double_value(&[]) < 1e-4);
/// # Ok::<(), metrics::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resize {
    /// Bilinear as in TensorFlow 1: corner pixels meet at the top left only. EDM, StyleGAN, torch-fidelity, clean-fid's
    /// `legacy_tensorflow`.
    Tensorflow1Bilinear,
    /// Bilinear as in PyTorch: pixel centers meet, no smoothing when it shrinks. pytorch-fid, clean-fid's
    /// `legacy_pytorch`.
    TorchBilinear,
    /// Bicubic as in PyTorch (`a = -0.75`), no smoothing when it shrinks; overshoots stay. CMMD.
    TorchBicubic,
    /// Bicubic as in PyTorch with `antialias` (`a = -0.5`, smoothing), in floating point; overshoots stay. EDM2's FD-DINOv2.
    TorchBicubicSmooth,
    /// Pillow's bicubic (`a = -0.5`, smoothing) of each channel in floating point, clipped to 0..=255. clean-fid.
    PillowBicubicFloat,
    /// Pillow's bicubic of bytes, rounded to bytes after either direction. dgm-eval, CLIP's preprocessing.
    PillowBicubic,
    /// Pillow's Lanczos filter of bytes, rounded to bytes after either direction. DMD2's evaluation.
    PillowLanczos,
}

impl Resize {
    /// The images `[B, C, H, W]` of bytes at another height and width: `f32`, levels 0 to 255.
    ///
    /// The rules of Pillow are computed on the CPU, by its own integer arithmetic where they make bytes.
    ///
    /// # Errors
    /// [`Error::NotBytes`], [`Error::NotImages`] for other tensors; [`Error::NotPositive`] for an empty size.
    ///
    /// # Source
    /// Each member names its programs; a test pins every member to their values.
    pub fn apply(self, bytes: &Tensor, size: [i64; 2]) -> Result<Tensor> {
        ImageShape::of_bytes(bytes)?;
        for (what, value) in [("height", size[0]), ("width", size[1])] {
            if value < 1 {
                return Err(Error::NotPositive { what, value });
            }
        }
        let levels = || bytes.to_kind(Kind::Float);
        Ok(match self {
            Self::Tensorflow1Bilinear => tensorflow::bilinear(&levels(), size),
            Self::TorchBilinear => levels().f_upsample_bilinear2d(size, false, None, None)?,
            Self::TorchBicubic => levels().f_upsample_bicubic2d(size, false, None, None)?,
            Self::TorchBicubicSmooth => {
                levels().f_internal_upsample_bicubic2d_aa(size, false, None, None)?
            }
            Self::PillowBicubicFloat => {
                pillow::resize::<f32>(&levels(), size, Filter::Bicubic)?.clamp(0.0, 255.0)
            }
            Self::PillowBicubic => pillow::resize::<u8>(bytes, size, Filter::Bicubic)?,
            Self::PillowLanczos => pillow::resize::<u8>(bytes, size, Filter::Lanczos)?,
        })
    }
}

impl fmt::Display for Resize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tensorflow1Bilinear => "bilinear resizing of TensorFlow 1",
            Self::TorchBilinear => "bilinear resizing of PyTorch",
            Self::TorchBicubic => "bicubic resizing of PyTorch",
            Self::TorchBicubicSmooth => "bicubic resizing of PyTorch, smoothed",
            Self::PillowBicubicFloat => "bicubic resizing of Pillow, in floating point",
            Self::PillowBicubic => "bicubic resizing of Pillow, in bytes",
            Self::PillowLanczos => "Lanczos resizing of Pillow, in bytes",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diffusion_core::Noise;
    use tch::Device;

    const ALL: [Resize; 7] = [
        Resize::Tensorflow1Bilinear,
        Resize::TorchBilinear,
        Resize::TorchBicubic,
        Resize::TorchBicubicSmooth,
        Resize::PillowBicubicFloat,
        Resize::PillowBicubic,
        Resize::PillowLanczos,
    ];

    /// Noise of so little contrast that nothing overshoots.
    fn bytes(shape: &[i64]) -> Tensor {
        (Noise::new(1).uniform(shape) * 96.0 + 80.0).to_kind(Kind::Uint8)
    }

    #[test]
    fn the_same_size_is_the_same_image() {
        let images = bytes(&[2, 3, 9, 7]);
        for resize in ALL {
            let same = resize.apply(&images, [9, 7]).unwrap();
            assert_eq!(same, images.to_kind(Kind::Float), "{resize:?}");
        }
    }

    #[test]
    fn images_and_channels_do_not_mix_and_the_axes_are_equal() {
        let images = bytes(&[2, 3, 12, 16]);
        for resize in ALL {
            let whole = resize.apply(&images, [8, 30]).unwrap();
            let one = resize.apply(&images.narrow(0, 1, 1).narrow(1, 2, 1), [8, 30]).unwrap();
            let part = whole.narrow(0, 1, 1).narrow(1, 2, 1);
            assert!((part - one).abs().max().double_value(&[]) < 1e-4, "{resize:?}");
            let turned = resize.apply(&images.transpose(2, 3).contiguous(), [30, 8]).unwrap();
            let difference = (turned.transpose(2, 3) - &whole).abs().max().double_value(&[]);
            // Bytes are rounded after the horizontal direction, so that the axes may differ by a level.
            assert!(difference <= 2.0, "{resize:?} {difference}");
        }
    }

    #[test]
    fn tensors_that_are_no_images_of_bytes_are_refused() {
        let of = |images: &Tensor, size| Resize::PillowBicubic.apply(images, size).unwrap_err();
        let image = bytes(&[1, 3, 4, 4]);
        let float = of(&image.to_kind(Kind::Float), [8, 8]);
        assert!(matches!(float, Error::NotBytes { kind: Kind::Float }));
        assert!(matches!(of(&image.get(0), [8, 8]), Error::NotImages { .. }));
        let none = Tensor::zeros([0, 3, 4, 4], (Kind::Uint8, Device::Cpu));
        assert!(matches!(of(&none, [8, 8]), Error::NotImages { .. }));
        let flat = of(&image, [8, 0]);
        assert!(matches!(flat, Error::NotPositive { what: "width", value: 0 }));
    }

    #[test]
    fn pytorch_s_smoothed_bicubic_is_pillow_s_but_for_overshoots() {
        let soft = bytes(&[1, 3, 37, 41]);
        for size in [[20, 64], [224, 224]] {
            let [torch, pillow] = [Resize::TorchBicubicSmooth, Resize::PillowBicubicFloat]
                .map(|resize| resize.apply(&soft, size).unwrap());
            assert!((torch - pillow).abs().max().double_value(&[]) < 1e-3, "{size:?}");
        }
        let edge = (Tensor::arange(16, (Kind::Int64, Device::Cpu)).ge(8).to_kind(Kind::Uint8)
            * 255)
            .expand([1, 1, 16, 16], false);
        let steep = Resize::TorchBicubicSmooth.apply(&edge, [48, 48]).unwrap();
        assert!(steep.max().double_value(&[]) > 256.0 && steep.min().double_value(&[]) < -1.0);
    }
}
