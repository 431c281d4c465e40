//! A convolution of single pixels.

use crate::builder::{Builder, Init};
use libtorch_ext::kernels::Convolution;
use tch::Tensor;

/// A 1 × 1 convolution with bias whose weight stands in the state dict with one trailing axis or with two.
#[derive(Debug)]
pub(crate) struct Pointwise {
    weight: Tensor,
    bias: Tensor,
}

impl Pointwise {
    /// `channels`: `[in, out]`. `axes`: 1 where the official layer convolves sequences, 2 where it convolves images.
    pub(crate) fn new(
        builder: &mut Builder<'_>,
        name: &str,
        [from, to]: [i64; 2],
        axes: usize,
        init: Init,
    ) -> Self {
        let shape = [vec![to, from], vec![1; axes]].concat();
        let weight = builder.weight(&format!("{name}.weight"), &shape, init);
        Self { weight, bias: builder.bias(&format!("{name}.bias"), to, from, init) }
    }

    /// `[B, in, H, W]` to `[B, out, H, W]`, plus `residual`.
    pub(crate) fn forward(&self, x: &Tensor, residual: Option<&Tensor>) -> Tensor {
        // a view for each evaluation: the weight may move when parameters are flattened
        let weight = self.weight.view([self.weight.size()[0], self.weight.size()[1], 1, 1]);
        let convolution = Convolution::new(&weight).bias(&self.bias);
        let convolution = match residual {
            Some(residual) => convolution.residual(residual),
            None => convolution,
        };
        convolution.forward(x).unwrap_or_else(|error| panic!("{error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diffusion_core::Noise;
    use tch::{Device, Kind};

    #[test]
    fn every_pixel_is_mapped_alone_whatever_the_shape_of_the_weight() {
        for (axes, shape) in [(1, vec![5, 3, 1]), (2, vec![5, 3, 1, 1])] {
            let mut noise = Noise::new(1);
            let mut builder = Builder::drawn(&mut noise, Device::Cpu);
            let layer = Pointwise::new(&mut builder, "qkv", [3, 5], axes, Init::FanIn);
            assert_eq!(layer.weight.size(), shape);
            let x = Noise::new(2).normal(&[2, 3, 4, 4]);
            let residual = Noise::new(3).normal(&[2, 5, 4, 4]);
            let pixel = |x: &Tensor| x.select(3, 1).select(2, 2);
            let expected =
                pixel(&x).matmul(&layer.weight.view([5, 3]).tr()) + &layer.bias + pixel(&residual);
            let found = pixel(&layer.forward(&x, Some(&residual)));
            assert!((found - expected).abs().max().double_value(&[]) < 1e-6);
            layer.forward(&x, None).sum(Kind::Float).backward();
            assert_eq!(layer.weight.grad().size(), shape);
        }
    }
}
