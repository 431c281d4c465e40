//! One layer of the encoder or decoder.

use super::flow::Flow;
use super::layout::{Row, RowKind};
use crate::blocks::{
    BlockStyle, Conv2d, FusedDown, GroupNorm, Pass, Resample, Resampler, Segment, UnetBlock,
};
use crate::builder::Builder;
use diffusion_core::FeatureSite;
use std::f64::consts::FRAC_1_SQRT_2;
use std::ops::ControlFlow;
use tch::Tensor;

/// A row of the layout with its tensors.
#[derive(Debug)]
pub(super) struct Layer {
    /// Its output, named as in the state dict.
    site: FeatureSite,
    takes_skip: bool,
    kind: LayerKind,
}

/// As [`RowKind`].
#[derive(Debug)]
enum LayerKind {
    Conv(Conv2d),
    Block(Segment),
    AuxResample(Resampler),
    AuxSkip(Conv2d),
    AuxResidual(FusedDown),
    AuxImage(GroupNorm, Conv2d),
}

impl Layer {
    /// `half`: the prefix of the encoder or decoder.
    pub(super) fn new(builder: &mut Builder<'_>, half: &str, row: Row, style: &BlockStyle) -> Self {
        let name = format!("{half}.{}", row.name);
        builder.enter(row.part);
        let site = builder.feature_site(&match row.kind {
            RowKind::AuxImage(_) => format!("{name}_conv"),
            _ => name.clone(),
        });
        let kind = LayerKind::new(builder, &name, row.kind, style);
        Self { site, takes_skip: row.takes_skip, kind }
    }

    /// Shows the layer's own output, then lets it go on its way.
    pub(super) fn forward(
        &self,
        flow: &mut Flow,
        emb: &Tensor,
        pass: &mut Pass<'_>,
    ) -> ControlFlow<()> {
        if self.takes_skip {
            flow.concatenate_skip();
        }
        let output = self.output(flow, emb, pass);
        pass.show(&self.site, &output)?;
        match &self.kind {
            LayerKind::Conv(_) | LayerKind::Block(_) => flow.advance(output),
            LayerKind::AuxResample(_) => flow.branch = Some(output),
            LayerKind::AuxSkip(_) => flow.replace(&flow.x + output),
            LayerKind::AuxResidual(_) => {
                flow.replace((&flow.x + output) * FRAC_1_SQRT_2);
                flow.branch = Some(flow.x.shallow_clone());
            }
            LayerKind::AuxImage(..) => flow.add_to_branch(output),
        }
        ControlFlow::Continue(())
    }

    fn output(&self, flow: &Flow, emb: &Tensor, pass: &mut Pass<'_>) -> Tensor {
        match &self.kind {
            LayerKind::Conv(conv) => conv.forward(&flow.x),
            LayerKind::Block(segment) => segment.forward(&[&flow.x, emb], pass),
            LayerKind::AuxResample(resampler) => resampler.apply(flow.branch()),
            LayerKind::AuxSkip(conv) => conv.forward(flow.branch()),
            LayerKind::AuxResidual(fused) => fused.forward(flow.branch()),
            LayerKind::AuxImage(norm, conv) => conv.forward(&norm.forward_silu(&flow.x)),
        }
    }

    /// Brings the weights into the form that evaluation is fastest with.
    pub(super) fn prepare(&self) {
        match &self.kind {
            LayerKind::Conv(conv) | LayerKind::AuxSkip(conv) => conv.prepare(),
            LayerKind::Block(segment) => segment.prepare(),
            LayerKind::AuxResample(_) => {}
            LayerKind::AuxResidual(fused) => fused.conv().prepare(),
            LayerKind::AuxImage(_, conv) => conv.prepare(),
        }
    }
}

impl LayerKind {
    fn new(builder: &mut Builder<'_>, name: &str, row: RowKind, style: &BlockStyle) -> Self {
        let (usual, taps) = (style.usual, &style.resample_filter[..]);
        match row {
            RowKind::Conv(channels) => {
                Self::Conv(Conv2d::new(builder, name, channels, 3, Resample::Keep, usual))
            }
            RowKind::Block(shape) => {
                Self::Block(Segment::new(builder, style.dropout > 0.0, |builder| {
                    UnetBlock::new(builder, name, shape, style)
                }))
            }
            RowKind::AuxResample(resample) => {
                Self::AuxResample(Resampler::new(builder, name, resample, taps))
            }
            RowKind::AuxSkip(channels) => {
                Self::AuxSkip(Conv2d::new(builder, name, channels, 1, Resample::Keep, usual))
            }
            RowKind::AuxResidual(channels) => {
                Self::AuxResidual(FusedDown::new(builder, name, channels, taps, usual))
            }
            RowKind::AuxImage(channels) => {
                let norm = style.norm(builder, &format!("{name}_norm"), channels[0]);
                let (name, silent) = (format!("{name}_conv"), style.silent);
                let conv = Conv2d::new(builder, &name, channels, 3, Resample::Keep, silent);
                Self::AuxImage(norm, conv)
            }
        }
    }
}
