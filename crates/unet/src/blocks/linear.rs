//! A fully connected layer.

use crate::builder::Builder;
use tch::Tensor;

/// A fully connected layer, with or without bias.
#[derive(Debug)]
pub(crate) struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// `features`: `[in, out]`. The bias starts at zero.
    pub(crate) fn new(builder: &mut Builder, name: &str, features: [i64; 2]) -> Self {
        let mut linear = Self::without_bias(builder, name, features);
        linear.bias = Some(builder.constant(&format!("{name}.bias"), features[1], 0.0));
        linear
    }

    /// The same without bias.
    pub(crate) fn without_bias(builder: &mut Builder, name: &str, [from, to]: [i64; 2]) -> Self {
        Self { weight: builder.weight(&format!("{name}.weight"), &[to, from], 1.0), bias: None }
    }

    /// `[B, in]` to `[B, out]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight, self.bias.as_ref())
    }
}
