//! Images as sequences of tokens.

use crate::blocks::{Conv, Geometry};
use crate::tensors::Tensors;
use tch::Tensor;

/// Patches as tokens: `[B, 3, H, W]` to `[B, patches, width]`.
#[derive(Debug)]
pub(super) struct PatchEmbedding {
    conv: Conv,
    patch: i64,
}

impl PatchEmbedding {
    pub(super) fn new(tensors: &mut Tensors, width: i64, patch: i64) -> Self {
        let geometry = Geometry::valid(patch, patch);
        Self { conv: Conv::new(tensors, "patch_embed.proj", [3, width], geometry), patch }
    }

    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        let [_, _, height, width] = x.size()[..] else { panic!("`x` must have four axes") };
        let patch = self.patch;
        assert!(
            height % patch == 0 && width % patch == 0,
            "`x` is {height} × {width}; both must be multiples of the patch size {patch}"
        );
        self.conv.forward(x).flatten(2, 3).transpose(1, 2)
    }

    /// Rows and columns of patches of an image.
    pub(super) fn grid(&self, x: &Tensor) -> [i64; 2] {
        [x.size()[2] / self.patch, x.size()[3] / self.patch]
    }
}

/// The table of positions for another grid than it was trained with: the position of the class token, then the grid
/// resampled bicubically.
///
/// As published, the sampling coordinates follow from the factor `(n + 0.1) / N` of each side, which once kept
/// rounding from losing a row: the outermost positions lie a little further in than they should.
///
/// # Source
/// Official DINOv2, `dinov2/models/vision_transformer.py`, `interpolate_pos_encoding`, offset 0.1, no antialias.
pub(super) fn resampled_positions(table: &Tensor, [rows, columns]: [i64; 2]) -> Tensor {
    let [_, entries, width] = table.size()[..] else { panic!("`pos_embed` must have three axes") };
    let side = ((entries - 1) as f64).sqrt().round() as i64;
    if [rows, columns] == [side, side] {
        return table.shallow_clone();
    }
    let grid = table.narrow(1, 1, entries - 1).view([1, side, side, width]).permute([0, 3, 1, 2]);
    let factor = |n: i64| (n as f64 + 0.1) / side as f64;
    let resampled = grid.upsample_bicubic2d([rows, columns], false, factor(rows), factor(columns));
    let tokens = resampled.permute([0, 2, 3, 1]).reshape([1, rows * columns, width]);
    Tensor::cat(&[table.narrow(1, 0, 1), tokens], 1)
}
