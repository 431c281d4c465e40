//! What accompanies an evaluation through a network's layers.

use diffusion_core::{AttentionMap, AttentionSite, AttentionTap, FeatureSite, FeatureTap, Noise};
use std::ops::ControlFlow;
use tch::Tensor;

/// One evaluation: where its dropout masks come from and who is watching.
pub(crate) struct Pass<'a> {
    dropout: Option<&'a mut Noise>,
    features: Option<&'a mut FeatureTap<'a>>,
    attention: Option<&'a mut (dyn AttentionTap + 'a)>,
    shift: Option<&'a Tensor>,
    recomputes: bool,
}

impl<'a> Pass<'a> {
    /// Evaluates; with `dropout`, trains.
    pub(crate) fn new(dropout: Option<&'a mut Noise>) -> Self {
        Self { dropout, features: None, attention: None, shift: None, recomputes: false }
    }

    /// The same, keeping only the inputs of segments for the backward pass.
    pub(crate) fn recomputing(self, recomputes: bool) -> Self {
        Self { recomputes, ..self }
    }

    /// The same, showing features to `tap`.
    pub(crate) fn showing(self, tap: &'a mut FeatureTap<'a>) -> Self {
        Self { features: Some(tap), ..self }
    }

    /// The same, showing attention maps to `tap`. Segments are then not recomputed: the tap sees each map once.
    pub(crate) fn attending(self, tap: &'a mut (dyn AttentionTap + 'a)) -> Self {
        Self { attention: Some(tap), ..self }
    }

    /// The same with something added to the embedding.
    pub(crate) fn shifting(self, shift: &'a Tensor) -> Self {
        Self { shift: Some(shift), ..self }
    }

    /// The embedding, with what is to be added to it.
    pub(crate) fn shifted(&self, emb: Tensor) -> Tensor {
        match self.shift {
            Some(shift) => emb + shift,
            None => emb,
        }
    }

    /// Whether segments are to be computed again in the backward pass.
    pub(crate) fn recomputes(&self) -> bool {
        self.recomputes && self.attention.is_none()
    }

    /// The source of dropout masks, in training.
    pub(crate) fn noise(&mut self) -> Option<&mut Noise> {
        self.dropout.as_deref_mut()
    }

    /// The same watchers with masks from another source.
    pub(crate) fn with_noise<'b>(&'b mut self, noise: Option<&'b mut Noise>) -> Pass<'b>
    where
        'a: 'b,
    {
        let attention = self.attention.as_mut();
        let attention = attention.map(|tap| &mut **tap as &mut (dyn AttentionTap + 'b));
        Pass { dropout: noise, features: None, attention, shift: None, recomputes: false }
    }

    /// Zeroes values with `probability` and scales up the others, in training.
    pub(crate) fn dropout(&mut self, x: Tensor, probability: f64) -> Tensor {
        match self.noise() {
            Some(noise) if probability > 0.0 => {
                let mask = noise.dropout_mask(&x.size(), probability).to_device(x.device());
                x * mask
            }
            _ => x,
        }
    }

    /// Shows a feature; `Break` ends the evaluation.
    pub(crate) fn show(&mut self, site: &FeatureSite, feature: &Tensor) -> ControlFlow<()> {
        match &mut self.features {
            Some(tap) => tap(site, feature),
            None => ControlFlow::Continue(()),
        }
    }

    /// Whether the map of an attention layer has to be formed.
    pub(crate) fn wants(&self, site: &AttentionSite) -> bool {
        self.attention.as_ref().is_some_and(|tap| tap.wants(site))
    }

    /// Shows an attention map and returns the one to go on with.
    pub(crate) fn see(&mut self, map: AttentionMap<'_>) -> Tensor {
        let replacement = self.attention.as_mut().and_then(|tap| tap.see(map));
        let Some(replacement) = replacement else { return map.weights.shallow_clone() };
        let (found, expected) = (replacement.size(), map.weights.size());
        let name = &map.site.name;
        assert!(
            found == expected,
            "the replacement of the attention map of `{name}` has shape {found:?}; the map has {expected:?}"
        );
        replacement
    }
}

/// The result of an evaluation that nobody could break off.
pub(crate) fn unbroken<T>(result: ControlFlow<(), T>) -> T {
    result.continue_value().expect("only a feature tap ends an evaluation")
}
