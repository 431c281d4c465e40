//! The class of an image as a vector.

use super::condition::required;
use crate::builder::Builder;
use diffusion_core::Cond;
use tch::Tensor;

/// The table `class_embedding`, a row for each class.
#[derive(Debug)]
pub(crate) struct ClassEmbedding {
    table: Tensor,
}

impl ClassEmbedding {
    pub(crate) fn new(builder: &mut Builder<'_>, classes: i64, width: i64) -> Self {
        Self { table: builder.normal("class_embedding.weight", &[classes, width], 1.0) }
    }

    /// The rows of the labels of `cond`, `[B, width]`; `c_noise`, `[B]`, tells the number of images.
    pub(crate) fn forward(&self, cond: &Cond, c_noise: &Tensor) -> Tensor {
        let expected = [c_noise.size()[0], self.table.size()[0]];
        required("labels", cond.labels.as_ref(), &expected).matmul(&self.table)
    }
}
