//! Attention of tokens with several heads.

use crate::blocks::{Linear, Pass, attend};
use crate::builder::{Builder, Init};
use diffusion_core::{AttentionKind, AttentionSite};
use std::sync::Arc;
use tch::Tensor;

/// The layers `to_q`, `to_k`, `to_v` and `to_out.0` around attention.
#[derive(Debug)]
pub(super) struct Heads {
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: Linear,
    site: Arc<AttentionSite>,
}

/// What distinguishes one attention from another.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeadsShape {
    /// Channels of the queries' tokens and of the result.
    pub(super) width: i64,
    /// Channels of the tokens that are looked at.
    pub(super) context: i64,
    /// Number of heads.
    pub(super) heads: i64,
    /// Whether queries, keys and values have a bias.
    pub(super) bias: bool,
    /// What is looked at.
    pub(super) kind: AttentionKind,
}

impl Heads {
    pub(super) fn new(builder: &mut Builder<'_>, name: &str, shape: HeadsShape) -> Self {
        let HeadsShape { width, context, heads, bias, kind } = shape;
        let site = builder.attention_site(name, kind, heads);
        let make = if bias { Linear::new } else { Linear::without_bias };
        let mut linear =
            |part, from| make(builder, &format!("{name}.{part}"), [from, width], Init::FanIn);
        let (to_q, to_k, to_v) =
            (linear("to_q", width), linear("to_k", context), linear("to_v", context));
        let to_out = Linear::new(builder, &format!("{name}.to_out.0"), [width; 2], Init::FanIn);
        Self { to_q, to_k, to_v, to_out, site }
    }

    /// `x`: `[B, pixels, width]` of an image of `grid`; `context`: `[B, tokens, context]`; returns the shape of `x`.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        context: &Tensor,
        grid: [i64; 2],
        pass: &mut Pass<'_>,
    ) -> Tensor {
        let parts = [
            self.split(&self.to_q.forward(x)),
            self.split(&self.to_k.forward(context)),
            self.split(&self.to_v.forward(context)),
        ];
        let attended = attend(&parts, &self.site, grid, pass).transpose(1, 2);
        self.to_out.forward(&attended.reshape(x.size()))
    }

    /// `[B, tokens, width]` to `[B, heads, tokens, width / heads]`.
    fn split(&self, x: &Tensor) -> Tensor {
        let heads = self.site.heads;
        let [b, tokens, width] = x.size()[..] else { panic!("tokens must have three axes") };
        x.view([b, tokens, heads, width / heads]).transpose(1, 2)
    }
}

/// `[B, C, H, W]` to `[B, H · W, C]` and the grid, without copying where channels lie beside each other.
pub(super) fn tokens(x: &Tensor) -> (Tensor, [i64; 2]) {
    let [b, c, h, w] = x.size()[..] else { panic!("an image must have four axes") };
    (x.permute([0, 2, 3, 1]).reshape([b, h * w, c]), [h, w])
}

/// The reverse of [`tokens`], with channels beside each other.
pub(super) fn image(tokens: &Tensor, [h, w]: [i64; 2]) -> Tensor {
    let [b, _, c] = tokens.size()[..] else { panic!("tokens must have three axes") };
    tokens.reshape([b, h, w, c]).permute([0, 3, 1, 2])
}
