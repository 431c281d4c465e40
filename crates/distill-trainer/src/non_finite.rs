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
    counts: BTreeMap<&'static str, u64>,
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
        Self { policy, deferred, counts: BTreeMap::new(), pending: BTreeMap::new() }
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
        *self.counts.entry(turn.name).or_default() += 1;
        let mends = self.policy == OnNonFinite::ZeroGrad;
        if self.policy == OnNonFinite::Error {
            return Err(non_finite(turn.name, step, first, gradients));
        }
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
        let mut earliest: Option<(u64, Error)> = None;
        for (name, pending) in std::mem::take(&mut self.pending) {
            let count = pending.count.double_value(&[]) as u64;
            if count == 0 {
                continue;
            }
            *self.counts.entry(name).or_default() += count;
            let [step, position] = [0, 1].map(|index| pending.first.int64_value(&[index]));
            let (step, position) = (step as u64, position as usize);
            if earliest.as_ref().is_none_or(|(found, _)| step < *found) {
                earliest = Some((step, non_finite(name, step, position, &pending.gradients)));
            }
        }
        match earliest {
            Some((_, error)) if self.policy == OnNonFinite::Error => Err(error),
            _ => Ok(()),
        }
    }

    /// What the log says of bad turns since the run started or resumed; nothing while there was none.
    pub(crate) fn terms(&self) -> BTreeMap<String, f64> {
        let mut terms: BTreeMap<String, f64> = self
            .counts
            .iter()
            .map(|(turn, &count)| (format!("{turn}/non_finite"), count as f64))
            .collect();
        if !terms.is_empty() {
            terms.insert("non_finite_turns".into(), self.counts.values().sum::<u64>() as f64);
        }
        terms
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

fn non_finite(turn: &'static str, step: u64, position: usize, gradients: &TurnGradients) -> Error {
    let what = match position.checked_sub(1) {
        None => "the loss".into(),
        Some(index) => {
            let (role, name) = gradients.name(index);
            format!("the gradient of {role}'s `{name}`")
        }
    };
    Error::NonFinite { step, turn, what }
}
