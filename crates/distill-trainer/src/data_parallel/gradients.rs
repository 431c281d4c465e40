//! The one exchange of a turn.

use super::DataParallel;
use crate::Result;
use crate::gradients::{TurnGradients, WORDS};
use tch::Tensor;

impl DataParallel {
    /// Replaces the gradients of a turn by their means over the processes, in one all-reduce of the memory that they lie
    /// in, and returns the mean of the losses.
    ///
    /// Losses are means over the images of a batch and all parts are of one size, so these means are the gradients of
    /// the whole batch. Loss and `interrupted` travel behind the gradients: after it, all processes see the same
    /// numbers and take the same decisions. A value that is not finite in one process is not finite in all.
    pub(super) fn average(
        &mut self,
        gradients: &TurnGradients,
        loss: &Tensor,
        interrupted: bool,
    ) -> Result<Tensor> {
        let _guard = tch::no_grad_guard();
        let message = gradients.message();
        let words = message.narrow(0, message.size()[0] - WORDS, WORDS);
        words.get(0).copy_(&loss.detach());
        let _ = words.get(1).fill_(f64::from(interrupted));
        self.world.all_reduce_mean(message)?;
        let told = words.copy();
        self.interrupted = Some(told.get(1));
        Ok(told.get(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{BATCH, Doubling, Numbered, config, trainer};
    use crate::{DistillMethod, Progress, RoleConfig};
    use diffusion_core::BatchSource;

    #[test]
    fn gradients_loss_and_interrupt_survive_the_message() {
        let (mut trainer, _) =
            trainer(Doubling::new(true), config(1, &RoleConfig::default())).unwrap();
        let turn = &trainer.method().turns(Progress::default())[0];
        let batch = Numbered { batch: 0, poisoned: None }.next_batch(BATCH).unwrap();
        let (objective, gradients) = trainer.gradients(turn, &batch).unwrap();
        let before = gradients.norms().unwrap();
        let mut alone = DataParallel::default();
        let loss = alone.average(&gradients, &objective.loss, true).unwrap();
        assert_eq!(loss, objective.loss);
        assert!(alone.interrupted());
        assert_eq!(gradients.norms().unwrap(), before);
        let _ = alone.average(&gradients, &loss, false).unwrap();
        assert!(!alone.interrupted());
    }
}
