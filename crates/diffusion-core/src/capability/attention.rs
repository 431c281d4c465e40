//! Attention maps inside a network.

use super::Part;
use crate::{Backbone, Cond, Noise};
use tch::Tensor;

/// What the queries of an attention layer look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttentionKind {
    /// The image itself.
    SelfAttention,
    /// The text, or whatever else the network is conditioned on.
    CrossAttention,
}

/// One attention layer of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttentionSite {
    /// Official name of the layer.
    pub name: String,
    /// The part of the network.
    pub part: Part,
    /// What it looks at, by the layer's construction.
    pub kind: AttentionKind,
    /// Number of heads.
    pub heads: i64,
}

/// The map of one attention layer in one evaluation.
#[derive(Debug, Clone, Copy)]
pub struct AttentionMap<'a> {
    /// The layer.
    pub site: &'a AttentionSite,
    /// Height and width of the image of queries; the queries run over it row by row.
    pub grid: [i64; 2],
    /// `[B, heads, queries, keys]`: the softmax over the keys. Images of several branches that share an evaluation,
    /// as with classifier-free guidance, are rows of `B`.
    pub weights: &'a Tensor,
}

/// Reads attention maps, and may replace them.
///
/// # Gradient
/// A map carries the graph of the evaluation. `detach` it to read it without gradient; what replaces it is
/// differentiated through.
pub trait AttentionTap {
    /// Whether the map of this layer is to be shown. Layers that are not wanted never form their map.
    fn wants(&self, site: &AttentionSite) -> bool;

    /// Sees a map; `Some` takes its place, with the same shape.
    fn see(&mut self, map: AttentionMap<'_>) -> Option<Tensor>;
}

/// A network whose attention maps can be read and replaced.
pub trait AttentionTaps: Backbone {
    /// Every attention layer, in the order of evaluation.
    fn attention_sites(&self) -> &[AttentionSite];

    /// As [`Backbone::forward`], showing the maps that `tap` wants to it.
    ///
    /// # Panics
    /// If a replacement has another shape than the map.
    fn forward_attending(
        &self,
        x: &Tensor,
        c_noise: &Tensor,
        cond: &Cond,
        dropout: Option<&mut Noise>,
        tap: &mut dyn AttentionTap,
    ) -> Tensor;
}

impl<B: AttentionTaps + ?Sized> AttentionTaps for Box<B> {
    fn attention_sites(&self) -> &[AttentionSite] {
        (**self).attention_sites()
    }

    fn forward_attending(
        &self,
        x: &Tensor,
        c_noise: &Tensor,
        cond: &Cond,
        dropout: Option<&mut Noise>,
        tap: &mut dyn AttentionTap,
    ) -> Tensor {
        (**self).forward_attending(x, c_noise, cond, dropout, tap)
    }
}
