//! One step of the loop: its turns, the averages, the method's wishes.

use crate::gradients::TurnGradients;
use crate::non_finite::Verdict;
use crate::player_state::PlayerState;
use crate::{Directive, DistillMethod, Error, Objective, Precision, Result, Role, Trainer, Turn};
use diffusion_core::{Batch, BatchSource};
use libtorch_ext::Autocast;
use std::rc::Rc;
use tch::Tensor;

/// In the ledger, before the name of the role whose gradient's norm it is.
pub(crate) const GRAD_NORM: &str = "grad_norm/";

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
                self.reset(*role)?;
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
        let (objective, gradients) = self.gradients(turn, batch)?;
        let step = self.progress.step;
        let loss = self.share_gradients(&gradients, &objective.loss)?;
        let verdict = self.non_finite.judge(turn, step, &loss, &gradients)?;
        if verdict.logs {
            self.log(turn, objective, &verdict)?;
        }
        if verdict.moves {
            self.move_players(turn, &gradients, &verdict)?;
        }
        let progress = self.progress;
        self.method.after_turn(turn, progress);
        Ok(())
    }

    /// The turn's objective and its gradients with respect to the players that move; the others are frozen.
    pub(crate) fn gradients(
        &mut self,
        turn: &Turn,
        batch: &Batch,
    ) -> Result<(Objective, Rc<TurnGradients>)> {
        let moves = |player: &&PlayerState| turn.trains.contains(&player.role);
        self.players.iter().for_each(|player| player.set_requires_grad(moves(&player)));
        let movers: Vec<&PlayerState> = self.players.iter().filter(moves).collect();
        let gradients = self.arena.turn(&movers);
        let objective = self.differentiate(turn, batch, &gradients)?;
        Ok((objective, gradients))
    }

    /// Computes the turn's objective, and its gradients into `gradients`.
    pub(crate) fn compute(
        &mut self,
        turn: &Turn,
        batch: &Batch,
        gradients: &Rc<TurnGradients>,
    ) -> Result<Objective> {
        let _bound = gradients.bind()?;
        self.backward(turn, batch)
    }

    /// The gradients of the turn's objective, added to those that are bound; returns its means over the batch without
    /// a graph. A batch that is larger than a micro-batch is differentiated in parts, each weighted by its share.
    fn backward(&mut self, turn: &Turn, batch: &Batch) -> Result<Objective> {
        let (images, precision) = (batch.len(), self.precision(turn)?);
        let part = images.min(self.images_at_once() as i64);
        if part == images {
            let objective = self.objective(turn, batch, precision);
            objective.loss.f_backward().map_err(diffusion_core::Error::Torch)?;
            return Ok(objective.scaled(1.0));
        }
        let mut total: Option<Objective> = None;
        for start in (0..images).step_by(part as usize) {
            let length = part.min(images - start);
            let share = length as f64 / images as f64;
            let objective = self.objective(turn, &batch.narrow(start, length), precision);
            let loss: Tensor = &objective.loss * share;
            loss.f_backward().map_err(diffusion_core::Error::Torch)?;
            let scaled = objective.scaled(share);
            total = Some(match total {
                Some(total) => total.plus(scaled),
                None => scaled,
            });
        }
        Ok(total.expect("a batch has images"))
    }

    /// How many images this process differentiates together.
    pub(crate) fn images_at_once(&self) -> usize {
        let batch = self.parallel.part(self.config.batch).len();
        self.config.micro_batch.map_or(batch, |part| batch.min(part))
    }

    pub(crate) fn objective(
        &mut self,
        turn: &Turn,
        batch: &Batch,
        precision: Precision,
    ) -> Objective {
        let _bf16 = (precision == Precision::Bf16).then(|| Autocast::bf16(self.device));
        self.method.objective(turn, batch, self.progress, &mut self.noise)
    }

    /// The arithmetic of a turn.
    ///
    /// # Errors
    /// [`Error::Config`] if the roles that it trains disagree.
    pub(crate) fn precision(&self, turn: &Turn) -> Result<Precision> {
        let of = |role: &Role| self.config.roles.get(role.0).and_then(|config| config.precision);
        let mut decided = turn.trains.iter().map(|role| (role, of(role)));
        let run = self.config.precision;
        let Some((_, first)) = decided.next() else { return Ok(run) };
        let first = first.unwrap_or(run);
        match decided.find(|(_, other)| other.unwrap_or(run) != first) {
            None => Ok(first),
            Some((role, other)) => Err(Error::Config {
                field: format!("roles.{role}.precision"),
                value: format!("{:?}", other.unwrap_or(run)).to_lowercase(),
                expected: "must be the same for all roles that a turn trains together",
            }),
        }
    }

    /// Steps the optimizers of the turn's players.
    fn move_players(
        &mut self,
        turn: &Turn,
        gradients: &TurnGradients,
        verdict: &Verdict,
    ) -> Result<()> {
        let (progress, total) = (self.progress, self.config.total_images());
        let skip = verdict.bad.as_ref().filter(|_| verdict.skips);
        let movers = self.players.iter_mut().filter(|player| turn.trains.contains(&player.role));
        for (index, (player, norm)) in movers.zip(&verdict.norms).enumerate() {
            player.step(gradients.of_mover(index), norm, skip, progress, total)?;
        }
        Ok(())
    }

    fn log(&mut self, turn: &Turn, objective: Objective, verdict: &Verdict) -> Result<()> {
        let Objective { loss, terms } = objective;
        let terms = [("loss", loss)].into_iter().chain(terms);
        let terms = terms.map(|(name, value)| (format!("{}/{name}", turn.name), value));
        let movers = self.players.iter().filter(|player| turn.trains.contains(&player.role));
        let norms = movers
            .zip(&verdict.norms)
            .map(|(player, norm)| (format!("{GRAD_NORM}{}", player.role), norm.shallow_clone()));
        let count = verdict.bad.as_ref().map(|bad| -bad + 1.0);
        self.ledger.add(terms.chain(norms).collect(), count.as_ref())
    }

    pub(crate) fn reset(&mut self, role: Role) -> Result<()> {
        let Some(player) = self.players.iter_mut().find(|player| player.role == role) else {
            let players = self.players.iter().map(|player| player.role.to_string()).collect();
            return Err(Error::UnknownReset { role: role.0, players });
        };
        player.reset();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
