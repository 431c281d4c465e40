//! Turns whose loss or gradients are not finite: found, counted, answered by the policy of the run.

use crate::gradients::TurnGradients;
use crate::{Error, OnNonFinite, Result, Turn};
use std::collections::BTreeMap;
use std::rc::Rc;
use tch::{Device, Kind, Tensor};

/// Watches the turns of a run.
///
/// On the CPU a turn is looked at when it happens. A look would stall a CUDA device, so there the verdict stays a
/// tensor: the kernels themselves leave out the update of a bad turn, and [`NonFinite::settle`] reads at the tick how
/// often that happened and where first.
#[derive(Debug)]
pub(crate) struct NonFinite {
    policy: OnNonFinite,
    deferred: bool,
    count: u64,
    /// By turn.
    notes: BTreeMap<&'static str, String>,
    pending: BTreeMap<&'static str, Pending>,
}

/// What the device knows of a turn since it was last asked.
#[derive(Debug)]
struct Pending {
    /// Bad turns, `f32`.
    count: Tensor,
    /// Step and position of the first bad value, -1 while there is none.
    first: Tensor,
    gradients: Rc<TurnGradients>,
}

/// What becomes of a turn.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// The norm of the gradients of each mover, mended if the policy mends.
    pub(crate) norms: Vec<Tensor>,
    /// Whether the optimizers step.
    pub(crate) moves: bool,
    /// Whether the turn is logged.
    pub(crate) logs: bool,
    /// 1 on the device if the turn turns out bad: it then does not count in the log. `None` if that is known already.
    pub(crate) bad: Option<Tensor>,
    /// Whether the optimizers leave a bad turn out.
    pub(crate) skips: bool,
}

impl NonFinite {
    pub(crate) fn new(policy: OnNonFinite, device: Device) -> Self {
        let deferred = device.is_cuda();
        Self { policy, deferred, count: 0, notes: BTreeMap::new(), pending: BTreeMap::new() }
    }

    /// Leaves the verdict on the device, or not, whatever the device.
    #[cfg(test)]
    pub(crate) fn defer(&mut self, deferred: bool) {
        self.deferred = deferred;
    }

    /// Judges a turn by its loss and gradients; `ZeroGrad` mends the gradients.
    ///
    /// # Errors
    /// [`Error::NonFinite`] under the policy [`OnNonFinite::Error`], on the CPU.
    pub(crate) fn judge(
        &mut self,
        turn: &Turn,
        step: u64,
        loss: &Tensor,
        gradients: &Rc<TurnGradients>,
    ) -> Result<Verdict> {
        let norms = gradients.norms()?;
        if self.deferred {
            return self.judge_later(turn, step, loss, &norms, gradients);
        }
        let Some(first) = first_bad(loss, &norms)? else {
            let norms = gradients.norms_by_mover(&norms);
            return Ok(Verdict { norms, moves: true, logs: true, bad: None, skips: false });
        };
        self.found(1, turn.name, step, place(first, gradients))?;
        let mends = self.policy == OnNonFinite::ZeroGrad;
        let norms = if mends { mended(gradients)? } else { gradients.norms_by_mover(&norms) };
        Ok(Verdict { norms, moves: mends, logs: false, bad: None, skips: false })
    }

    fn judge_later(
        &mut self,
        turn: &Turn,
        step: u64,
        loss: &Tensor,
        norms: &Tensor,
        gradients: &Rc<TurnGradients>,
    ) -> Result<Verdict> {
        if self.pending.get(turn.name).is_some_and(|p| !Rc::ptr_eq(&p.gradients, gradients)) {
            self.settle()?; // the positions of other players' parameters mean something else
        }
        let loss = loss.detach().reshape([1]).to_kind(norms.kind());
        let values_bad = Tensor::cat(&[&loss, norms], 0).isfinite().logical_not();
        let bad = values_bad.any();
        let pending = self.pending.entry(turn.name).or_insert_with(|| Pending {
            count: Tensor::zeros([0i64; 0], (Kind::Float, norms.device())),
            first: Tensor::full([2], -1, (Kind::Int64, norms.device())),
            gradients: Rc::clone(gradients),
        });
        let position = values_bad.to_kind(Kind::Int).argmax(None, false);
        let here = Tensor::stack(&[position.full_like(step as i64), position], 0);
        let is_first = pending.first.get(0).lt(0).logical_and(&bad);
        pending.first = here.where_self(&is_first, &pending.first);
        let bad = bad.to_kind(Kind::Float);
        pending.count += &bad;
        let mends = self.policy == OnNonFinite::ZeroGrad;
        let norms = if mends { mended(gradients)? } else { gradients.norms_by_mover(norms) };
        Ok(Verdict { norms, moves: true, logs: true, bad: Some(bad), skips: !mends })
    }

    /// Reads what the device has noted since the last time.
    ///
    /// # Errors
    /// [`Error::NonFinite`] with the first bad turn under the policy [`OnNonFinite::Error`].
    pub(crate) fn settle(&mut self) -> Result<()> {
        let mut found = Vec::new();
        for (name, pending) in std::mem::take(&mut self.pending) {
            let count = pending.count.double_value(&[]) as u64;
            if count > 0 {
                let [step, position] = [0, 1].map(|index| pending.first.int64_value(&[index]));
                let what = place(position as usize, &pending.gradients);
                found.push((step as u64, count, name, what));
            }
        }
        found.sort(); // the first step is the one that an error tells of
        let mut found = found.into_iter();
        found.try_for_each(|(step, count, turn, what)| self.found(count, turn, step, what))
    }

    /// Bad turns since the start of the run.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Goes on from a saved count.
    pub(crate) fn set_count(&mut self, count: u64) {
        self.count = count;
    }

    /// The first bad value of each turn since the last time, for people.
    pub(crate) fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes).into_values().collect()
    }

    /// Counts bad turns and notes the first one; an error if the policy is to end the run.
    fn found(&mut self, count: u64, turn: &'static str, step: u64, what: String) -> Result<()> {
        let done = match self.policy {
            OnNonFinite::Error => return Err(Error::NonFinite { step, turn, what }),
            OnNonFinite::SkipStep => "the turn was left out",
            OnNonFinite::ZeroGrad => "the gradients were mended",
        };
        self.count += count;
        let note = || format!("step {step}, turn `{turn}`: {what} is not finite; {done}");
        self.notes.entry(turn).or_insert_with(note);
        Ok(())
    }
}

/// The position of the first value that is not finite: 0 for the loss, then the parameters from 1 on.
fn first_bad(loss: &Tensor, norms: &Tensor) -> Result<Option<usize>> {
    if !loss.double_value(&[]).is_finite() {
        return Ok(Some(0));
    }
    let norms = Vec::<f64>::try_from(norms.to_kind(Kind::Double));
    let norms = norms.map_err(diffusion_core::Error::Torch)?;
    Ok(norms.iter().position(|norm| !norm.is_finite()).map(|index| index + 1))
}

fn mended(gradients: &TurnGradients) -> Result<Vec<Tensor>> {
    gradients.mend();
    Ok(gradients.norms_by_mover(&gradients.norms()?))
}

/// What is bad: the loss, or a gradient by its parameter's name.
fn place(position: usize, gradients: &TurnGradients) -> String {
    match position.checked_sub(1) {
        None => "the loss".into(),
        Some(index) => {
            let (role, name) = gradients.name(index);
            format!("the gradient of {role}'s `{name}`")
        }
    }
}
