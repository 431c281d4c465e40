//! The gradient branch, and what tells it from the student.

use super::ShiftUnet;
use crate::Result;
use crate::blocks::{Pass, unbroken};
use diffusion_core::{Noise, Parameter, Parameters};
use tch::Tensor;

impl ShiftUnet {
    /// Patterns that fit the names of the student's tensors and no others: what to freeze in order to train the branch.
    pub const STUDENT: [&'static str; 5] =
        ["time_embed.*", "input_blocks.*", "middle_block.*", "output_blocks.*", "out.*"];

    /// The student's answer and the gradient of the semantic code, in this order.
    ///
    /// The gradient shifts the student's clean image by `sigma² / alpha` times itself, and its noise by `-sigma` times
    /// itself. `dropout`: masks for the gradient's decoder. The layers of the student are evaluated without dropout: they
    /// are frozen when the branch is trained.
    ///
    /// # Shapes
    /// `x`: `[B, input_channel, H, W]`; `c_noise`: `[B]`; `z`: `[B, latent_dim]`. Returns two tensors like `x`.
    ///
    /// # Gradient
    /// Into `x`, `z` and all weights. Freeze those of [`ShiftUnet::student`] to train the branch alone.
    ///
    /// # Panics
    /// If a shape is another, or height or width cannot be halved once for every level after the first.
    pub fn forward_with_gradient(
        &self,
        x: &Tensor,
        c_noise: &Tensor,
        z: &Tensor,
        dropout: Option<&mut Noise>,
    ) -> (Tensor, Tensor) {
        let (codes, expected) = (z.size(), [x.size()[0], self.config.latent_dim]);
        assert!(
            codes == expected,
            "`z` has shape {codes:?}; this network needs {expected:?}: [images, latent_dim]"
        );
        let recomputes = self.recomputes.get();
        let mut pass = Pass::new(None).recomputing(recomputes);
        let (emb, skips) = unbroken(self.encode(x, c_noise, &mut pass));
        let features = skips.iter().map(Tensor::shallow_clone).collect();
        let prediction = unbroken(self.decoder.forward(features, &[&emb], &mut pass));
        let z = self.code.forward(z).silu();
        let mut pass = Pass::new(dropout).recomputing(recomputes);
        let gradient = unbroken(self.shift.forward(skips, &[&emb, &z], &mut pass));
        (prediction, gradient)
    }

    /// The tensors of the student, which are frozen when the branch is trained.
    pub fn student(&self) -> impl Iterator<Item = &Parameter> {
        self.parameters.iter().filter(|entry| Self::is_student(&entry.name))
    }

    /// The tensors of the gradient branch: what maps the code, and the second decoder.
    pub fn branch(&self) -> impl Iterator<Item = &Parameter> {
        self.parameters.iter().filter(|entry| !Self::is_student(&entry.name))
    }

    /// Copies the values of a student that was trained alone, with the configuration [`student`](crate::ShiftUnetConfig::student).
    ///
    /// # Errors
    /// [`Error::Core`](crate::Error::Core) if names or shapes are not those of the student; nothing is changed then.
    pub fn copy_student(&self, student: &Parameters) -> Result<()> {
        let own = self.branch().map(|entry| (entry.name.clone(), entry.tensor.shallow_clone()));
        let new = student.iter().map(|entry| (entry.name.clone(), entry.tensor.shallow_clone()));
        Ok(self.parameters.load(own.chain(new))?)
    }

    /// Whether a tensor, or a place that is named like one, is the student's.
    pub(super) fn is_student(name: &str) -> bool {
        let part = name.split('.').next();
        Self::STUDENT.iter().any(|pattern| pattern.strip_suffix(".*") == part)
    }
}
