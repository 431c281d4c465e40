//! The one exchange of a turn.

use super::DataParallel;
use crate::{Error, Result};
use tch::{Device, Kind, Tensor};

/// What processes tell each other in a turn beside their gradients.
pub(super) struct Told {
    /// The loss of the whole batch: the mean over the processes.
    pub(super) loss: Tensor,
    /// Whether some process was asked to end.
    pub(super) interrupted: bool,
}

impl DataParallel {
    /// Replaces the gradients of `params` by their means over the processes, in one all-reduce.
    ///
    /// Losses are means over the images of a batch and all parts are of one size, so these means are the gradients of
    /// the whole batch. Loss and `interrupted` travel in the same buffer: after it, all processes see the same
    /// numbers and take the same decisions. A value that is not finite in one process is not finite in all.
    ///
    /// # Errors
    /// [`Error::ProcessesDiffer`] if a parameter has a gradient in some processes only.
    pub(super) fn average(
        &self,
        params: &[Tensor],
        loss: &Tensor,
        interrupted: bool,
    ) -> Result<Told> {
        let _guard = tch::no_grad_guard();
        let grads: Vec<Tensor> = params.iter().map(Tensor::grad).collect();
        let present: Vec<f32> = grads.iter().map(|grad| f32::from(grad.defined())).collect();
        let words = [present.as_slice(), &[f32::from(interrupted)]].concat();
        let flat = flattened(params, &grads, loss, &words);
        self.world.all_reduce_mean(&flat)?;

        let n_words = words.len() as i64;
        let told = flat.narrow(0, flat.numel() as i64 - n_words, n_words).to_kind(Kind::Double);
        let told: Vec<f64> = Vec::try_from(told.to_device(Device::Cpu)).expect("it holds numbers");
        let (shares, interrupted) = told.split_at(present.len());
        if shares.iter().any(|&share| share > 0.0 && share < 1.0) {
            let checksums = shares.iter().map(|share| (share * self.world.size() as f64) as u64);
            let what = "which parameters have a gradient (by parameter: in how many processes)";
            return Err(Error::ProcessesDiffer { what, checksums: checksums.collect() });
        }
        copy_back(&flat, params, &grads);
        let loss = flat.narrow(0, flat.numel() as i64 - n_words - 1, 1).view([] as [i64; 0]);
        Ok(Told { loss, interrupted: interrupted[0] > 0.0 })
    }
}

/// Gradients (0 where there is none), loss, words: one buffer of the same length in every process.
fn flattened(params: &[Tensor], grads: &[Tensor], loss: &Tensor, words: &[f32]) -> Tensor {
    let flat = |(param, grad): (&Tensor, &Tensor)| {
        if grad.defined() { grad.reshape([-1]) } else { param.zeros_like().reshape([-1]) }
    };
    let mut parts: Vec<Tensor> = params.iter().zip(grads).map(flat).collect();
    parts.push(loss.detach().reshape([1]));
    parts.push(Tensor::from_slice(words).to_device(loss.device()));
    Tensor::cat(&parts, 0)
}

fn copy_back(flat: &Tensor, params: &[Tensor], grads: &[Tensor]) {
    let mut start = 0;
    for (param, grad) in params.iter().zip(grads) {
        let length = param.numel() as i64;
        if grad.defined() {
            grad.shallow_clone().copy_(&flat.narrow(0, start, length).view_as(param));
        }
        start += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_survive_the_way_through_the_buffer() {
        let params: Vec<Tensor> = [[1i64, 3], [2, 1], [1, 1]]
            .map(|shape| Tensor::ones(shape, (Kind::Float, Device::Cpu)).set_requires_grad(true))
            .into();
        let loss = params[0].square().sum(Kind::Float) + params[2].sum(Kind::Float) * 5.0;
        loss.backward();
        let told = DataParallel::default().average(&params, &loss, true).unwrap();
        assert!(told.interrupted);
        assert_eq!(told.loss, Tensor::from(8f32));
        assert_eq!(params[0].grad(), Tensor::from_slice(&[2f32, 2.0, 2.0]).view([1, 3]));
        assert!(!params[1].grad().defined(), "a parameter without gradient got one");
        assert_eq!(params[2].grad(), Tensor::from_slice(&[5f32]).view([1, 1]));
    }
}
