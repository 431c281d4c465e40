//! Turns that are recorded once and launched as a whole ever after.

use crate::gradients::TurnGradients;
use crate::{DistillMethod, Objective, Result, Trainer, Turn};
use diffusion_core::{Batch, Noise, NoiseTape};
use libtorch_ext::cuda::{CudaGraph, graphs_supported};
use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// Turns that are computed as usual before one is recorded: libraries choose their kernels in them.
const WARM_UP: u32 = 2;

/// A turn and what its operations depend on.
type Key = (&'static str, u64);

/// How far every turn of a run has come on the way to its recording.
#[derive(Debug, Default)]
pub(crate) struct Recordings(BTreeMap<Key, Stage>);

#[derive(Debug)]
enum Stage {
    /// Was computed so many times.
    Seen(u32),
    /// Has put its draws on a tape.
    Taped(NoiseTape),
    Recorded(Box<Recording>),
    /// Cannot be recorded.
    Refused,
}

/// Objective and backward pass of a turn as a CUDA graph, and the memory that it reads and writes.
#[derive(Debug)]
struct Recording {
    graph: CudaGraph,
    batch: Batch,
    tape: NoiseTape,
    gradients: Rc<TurnGradients>,
    objective: Objective,
}

impl Recording {
    fn replay(&mut self, noise: &mut Noise) -> Result<Objective> {
        self.tape.refill(noise);
        self.gradients.zero();
        self.graph.replay()?;
        Ok(self.objective.copied())
    }
}

impl<M: DistillMethod> Trainer<M> {
    /// The objective of a turn; its gradients are in `gradients` afterwards. By the turn's recording if there is one and
    /// it fits, otherwise computed.
    pub(crate) fn differentiate(
        &mut self,
        turn: &Turn,
        batch: &Batch,
        gradients: &Rc<TurnGradients>,
    ) -> Result<Objective> {
        let Some(key) = self.recording_key(turn, batch) else {
            return self.compute(turn, batch, gradients);
        };
        let stage = self.recordings.0.remove(&key).unwrap_or(Stage::Seen(0));
        let (stage, objective) = self.advance(stage, turn, batch, gradients)?;
        self.recordings.0.insert(key, stage);
        Ok(objective)
    }

    /// What a recording of the turn is kept under; `None` if it is not to be recorded.
    fn recording_key(&self, turn: &Turn, batch: &Batch) -> Option<Key> {
        let asked = self.config.cuda_graphs && graphs_supported().is_ok();
        let whole = batch.len() <= self.images_at_once() as i64;
        let key = self.method.recording_key(turn, self.progress);
        key.filter(|_| asked && whole && self.device.is_cuda()).map(|key| (turn.name, key))
    }

    fn advance(
        &mut self,
        stage: Stage,
        turn: &Turn,
        batch: &Batch,
        gradients: &Rc<TurnGradients>,
    ) -> Result<(Stage, Objective)> {
        Ok(match stage {
            Stage::Seen(times) if times < WARM_UP => {
                (Stage::Seen(times + 1), self.compute(turn, batch, gradients)?)
            }
            Stage::Seen(_) => {
                let tape = NoiseTape::new();
                let objective = self.compute_taped(&tape, turn, batch, gradients)?;
                match tape.is_complete() {
                    true => (Stage::Taped(tape), objective),
                    false => (self.refused(turn, "it draws random numbers on the host"), objective),
                }
            }
            Stage::Taped(tape) => match self.record(tape, turn, batch, gradients) {
                Ok(mut recording) => {
                    let objective = recording.replay(&mut self.noise)?;
                    (Stage::Recorded(recording), objective)
                }
                Err(reason) => (self.refused(turn, &reason), self.compute(turn, batch, gradients)?),
            },
            Stage::Recorded(recording) if !Rc::ptr_eq(&recording.gradients, gradients) => {
                (Stage::Seen(WARM_UP), self.compute(turn, batch, gradients)?) // its memory is gone
            }
            Stage::Recorded(mut recording) if recording.batch.overwrite(batch) => {
                let objective = recording.replay(&mut self.noise)?;
                (Stage::Recorded(recording), objective)
            }
            other => (other, self.compute(turn, batch, gradients)?), // of another shape, or refused
        })
    }

    /// Computes a turn whose draws go onto a tape, or come from it.
    fn compute_taped(
        &mut self,
        tape: &NoiseTape,
        turn: &Turn,
        batch: &Batch,
        gradients: &Rc<TurnGradients>,
    ) -> Result<Objective> {
        let bare = self.noise.clone();
        self.noise = bare.taped(tape);
        let objective = self.compute(turn, batch, gradients);
        self.noise = Noise::from_state(self.noise.state()).on(self.device);
        objective
    }

    /// Records the turn on its tape, without computing it; the run's noise stays where it is.
    fn record(
        &mut self,
        tape: NoiseTape,
        turn: &Turn,
        batch: &Batch,
        gradients: &Rc<TurnGradients>,
    ) -> Result<Box<Recording>, String> {
        let batch = batch.copied();
        let precision = self.precision(turn).map_err(|error| error.to_string())?;
        let bare = self.noise.clone();
        self.noise = bare.taped(&tape);
        tape.rewind();
        let bound = gradients.bind().map_err(|error| error.to_string())?;
        let recorded = catch_unwind(AssertUnwindSafe(|| {
            CudaGraph::capture(self.device, || {
                let objective = self.objective(turn, &batch, precision);
                objective.loss.backward();
                objective.scaled(1.0)
            })
        }));
        drop(bound);
        self.noise = bare;
        let (graph, objective) =
            recorded.map_err(|panic| text(&*panic))?.map_err(|error| error.to_string())?;
        let gradients = Rc::clone(gradients);
        Ok(Box::new(Recording { graph, batch, tape, gradients, objective }))
    }

    fn refused(&mut self, turn: &Turn, reason: &str) -> Stage {
        let reason = reason.lines().next().unwrap_or_default();
        self.notify(&format!("turn `{}` is not recorded as a CUDA graph: {reason}", turn.name));
        Stage::Refused
    }
}

impl Objective {
    /// The values as they stand.
    fn copied(&self) -> Self {
        let terms = self.terms.iter().map(|(name, value)| (*name, value.copy())).collect();
        Self { loss: self.loss.copy(), terms }
    }
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
}
