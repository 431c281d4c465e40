//! A fully connected layer.

use crate::builder::{Builder, Init};
use tch::Tensor;

/// A fully connected layer, with or without bias.
#[derive(Debug)]
pub(crate) struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// `features`: `[in, out]`.
    pub(crate) fn new(
        builder: &mut Builder<'_>,
        name: &str,
        features: [i64; 2],
        init: Init,
    ) -> Self {
        let mut linear = Self::without_bias(builder, name, features, init);
        let [from, to] = features;
        linear.bias = Some(builder.bias(&format!("{name}.bias"), to, from, init));
        linear
    }

    /// The same without bias.
    pub(crate) fn without_bias(
        builder: &mut Builder<'_>,
        name: &str,
        [from, to]: [i64; 2],
        init: Init,
    ) -> Self {
        Self { weight: builder.weight(&format!("{name}.weight"), &[to, from], init), bias: None }
    }

    /// Without bias, from standard normal values: each input has a vector of its own, such as a class.
    pub(crate) fn of_normal(builder: &mut Builder<'_>, name: &str, [from, to]: [i64; 2]) -> Self {
        Self { weight: builder.normal(&format!("{name}.weight"), &[to, from], 1.0), bias: None }
    }

    /// `[…, in]` to `[…, out]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight, self.bias.as_ref())
    }
}
