//! What changes the resolution after a stage.

use super::plan::Resampling;
use crate::blocks::{Conv2d, HalvingConv, Resample};
use crate::builder::{Builder, Init};
use tch::Tensor;

/// Halves or doubles the resolution.
#[derive(Debug)]
pub(super) enum Resampler {
    /// A strided convolution.
    Down(HalvingConv),
    /// Repeated pixels, then a convolution.
    Up(Conv2d),
}

impl Resampler {
    /// The layer `downsamplers.0.conv` or `upsamplers.0.conv` of the stage `name`.
    pub(super) fn new(
        builder: &mut Builder<'_>,
        name: &str,
        channels: i64,
        resampling: Resampling,
    ) -> Option<Self> {
        match resampling {
            Resampling::Keep => None,
            Resampling::Down { padding } => {
                let name = format!("{name}.downsamplers.0.conv");
                let conv = HalvingConv::new(builder, &name, [channels; 2]);
                Some(Self::Down(if padding == 0 { conv.padded_behind() } else { conv }))
            }
            Resampling::Up => {
                let (name, channels) = (format!("{name}.upsamplers.0.conv"), [channels; 2]);
                let conv = Conv2d::new(builder, &name, channels, 3, Resample::Keep, Init::FanIn);
                Some(Self::Up(conv))
            }
        }
    }

    /// `grid`: height and width to go up to, twice those of `x` unless stated; resolutions that were odd before they were
    /// halved come back through it.
    pub(super) fn forward(&self, x: &Tensor, grid: Option<[i64; 2]>) -> Tensor {
        match self {
            Self::Down(conv) => conv.forward(x),
            Self::Up(conv) => {
                let grid = grid.unwrap_or_else(|| [2 * x.size()[2], 2 * x.size()[3]]);
                conv.forward(&x.upsample_nearest2d(grid, None, None))
            }
        }
    }

    /// Brings the weights into the form that evaluation is fastest with.
    pub(super) fn prepare(&self) {
        if let Self::Up(conv) = self {
            conv.prepare();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    /// A halving whose kernel picks its middle pixel.
    fn middle(padding: i64) -> Resampler {
        let mut builder = Builder::zeros(Device::Cpu);
        let resampling = Resampling::Down { padding };
        let resampler = Resampler::new(&mut builder, "block", 1, resampling).unwrap();
        let parameters = builder.finish().parameters;
        let weight = parameters.get("block.downsamplers.0.conv.weight").unwrap();
        let _ = tch::no_grad(|| weight.get(0).get(0).get(1).get(1).fill_(1.0));
        resampler
    }

    #[test]
    fn the_padding_decides_which_pixels_are_picked() {
        let x = Tensor::arange(16, (Kind::Float, Device::Cpu)).view([1, 1, 4, 4]);
        let picked = |padding| {
            let y = middle(padding).forward(&x, None).view(-1);
            Vec::<f32>::try_from(&y).unwrap()
        };
        assert_eq!(picked(1), [0.0, 2.0, 8.0, 10.0]);
        assert_eq!(picked(0), [5.0, 7.0, 13.0, 15.0]);
    }
}
