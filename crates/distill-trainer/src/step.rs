//! One step of the loop: its turns, the averages, the method's wishes.

use crate::player_state::{PlayerState, may_step};
use crate::{Directive, DistillMethod, Error, Objective, Precision, Result, Role, Trainer, Turn};
use diffusion_core::{Batch, BatchSource};
use libtorch_ext::Autocast;
use tch::Tensor;

impl<M: DistillMethod> Trainer<M> {
    /// One step: every turn, the averages, the method's wishes. `first` is the batch of the first turn.
    pub(crate) fn step(
        &mut self,
        first: Batch,
        source: &mut dyn BatchSource,
    ) -> Result<Vec<Directive>> {
        let before = self.progress;
        let mut batch = first.to_device(self.device);
        for (index, turn) in self.method.turns(before).iter().enumerate() {
            if turn.fresh_batch && index > 0 {
                batch = self.next_batch(source)?.to_device(self.device);
            }
            self.turn(turn, &batch)?;
        }
        for player in &mut self.players {
            player.average(before, self.config.batch)?;
        }
        self.progress.step += 1;
        self.progress.images += self.config.batch as u64;
        let directives = self.method.after_step(self.progress);
        for directive in &directives {
            if let Directive::Reset(role) = directive {
                self.reset(*role);
            }
        }
        Ok(directives)
    }

    /// One turn: freeze the others, differentiate the objective, step.
    fn turn(&mut self, turn: &Turn, batch: &Batch) -> Result<()> {
        if let Some(role) = turn.trains.iter().find(|r| !self.players.iter().any(|p| p.role == **r))
        {
            return Err(Error::UnknownRole { turn: turn.name, role: role.0 });
        }
        self.players.iter().for_each(|player| player.freeze(!turn.trains.contains(&player.role)));
        let objective = {
            let _bf16 =
                (self.config.precision == Precision::Bf16).then(|| Autocast::bf16(self.device));
            self.method.objective(turn, batch, self.progress, &mut self.noise)
        };
        objective.loss.f_backward().map_err(diffusion_core::Error::Torch)?;
        let loss = self.share_gradients(turn, &objective.loss)?;
        if self.move_players(turn, &loss)? {
            self.log(turn, &objective);
        }
        let progress = self.progress;
        self.method.after_turn(turn, progress);
        Ok(())
    }

    fn log(&mut self, turn: &Turn, objective: &Objective) {
        self.ledger.add(format!("{}/loss", turn.name), &objective.loss.detach());
        for (name, value) in &objective.terms {
            self.ledger.add(format!("{}/{name}", turn.name), value);
        }
    }

    /// Steps the optimizers of the turn's players, unless something is not finite and the policy forbids it; says
    /// whether everything was finite.
    fn move_players(&mut self, turn: &Turn, loss: &Tensor) -> Result<bool> {
        let (progress, total) = (self.progress, self.config.total_images());
        let mut movers: Vec<&mut PlayerState> =
            self.players.iter_mut().filter(|player| turn.trains.contains(&player.role)).collect();
        let mut norms = grad_norms(&movers)?;
        let finite = norms.iter().chain([loss]).all(|value| value.isfinite().int64_value(&[]) == 1);
        let mut step = true;
        if !finite {
            self.non_finite += 1;
            step = may_step(self.config.on_non_finite, turn, progress.step, loss, &movers)?;
            norms = grad_norms(&movers)?; // of the mended gradients
        }
        for (player, norm) in movers.iter_mut().zip(&norms) {
            if finite {
                self.ledger.add(format!("{}/grad_norm/{}", turn.name, player.role), norm);
            }
            if step {
                player.step(norm, progress, total)?;
            }
            player.clear_grads()?;
        }
        Ok(finite)
    }

    pub(crate) fn reset(&mut self, role: Role) {
        for player in self.method.players() {
            let state = self.players.iter_mut().find(|state| state.role == role);
            if let (true, Some(state)) = (player.role == role, state) {
                state.reset(&player);
            }
        }
    }
}

fn grad_norms(players: &[&mut PlayerState]) -> Result<Vec<Tensor>> {
    players.iter().map(|player| player.grad_norm()).collect()
}
