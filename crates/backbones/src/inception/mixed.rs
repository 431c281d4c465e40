//! The blocks of parallel branches.

use super::layer::{Layer, chain};
use crate::blocks::Geometry;
use crate::tensors::Tensors;
use tch::Tensor;

/// What the last branch of a block that keeps the resolution pools with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pool {
    /// The mean of the pixels that are there; the padding is not counted.
    Mean,
    /// The largest pixel: only the last block of the network, where the TensorFlow graph of the FID differs from
    /// other Inceptions.
    Largest,
}

impl Pool {
    fn apply(self, x: &Tensor) -> Tensor {
        match self {
            Self::Mean => x.avg_pool2d([3, 3], [1, 1], [1, 1], false, false, None),
            Self::Largest => x.max_pool2d([3, 3], [1, 1], [1, 1], [1, 1], false),
        }
    }
}

/// One block: branches that see the same input and whose outputs are concatenated.
#[derive(Debug)]
pub(super) struct Mixed {
    branches: Vec<Branch>,
}

#[derive(Debug)]
enum Branch {
    /// Layers, one behind the other.
    Layers(Vec<Layer>),
    /// Layers, then two that see the same input and are concatenated.
    Fork(Vec<Layer>, [Layer; 2]),
    /// A pooling that keeps the resolution, then a layer.
    Pooled(Pool, Layer),
    /// A pooling that halves the resolution.
    Halved,
}

/// One branch's layers: name within the block, output channels, geometry.
type Row<'a> = (&'a str, i64, Geometry);

const POINT: Geometry = Geometry::same(1);
const SQUARE: Geometry = Geometry::same(3);
const WIDE: Geometry = Geometry::rectangle(1, 7);
const TALL: Geometry = Geometry::rectangle(7, 1);
const HALF: Geometry = Geometry::valid(3, 2);

impl Mixed {
    /// 35 × 35, `channels` to `224 + pooled`.
    pub(super) fn fine(tensors: &mut Tensors, name: &str, channels: i64, pooled: i64) -> Self {
        let five = [("branch5x5_1", 48, POINT), ("branch5x5_2", 64, Geometry::same(5))];
        let double = [
            ("branch3x3dbl_1", 64, POINT),
            ("branch3x3dbl_2", 96, SQUARE),
            ("branch3x3dbl_3", 96, SQUARE),
        ];
        let mut build = Rows { tensors, name, channels };
        let point = build.layers(&[("branch1x1", 64, POINT)]);
        let branches = vec![
            point,
            build.layers(&five),
            build.layers(&double),
            build.pooled(Pool::Mean, pooled),
        ];
        Self { branches }
    }

    /// 35 × 35 to 17 × 17, 288 to 768.
    pub(super) fn fine_to_middle(tensors: &mut Tensors, name: &str) -> Self {
        let double = [
            ("branch3x3dbl_1", 64, POINT),
            ("branch3x3dbl_2", 96, SQUARE),
            ("branch3x3dbl_3", 96, HALF),
        ];
        let mut build = Rows { tensors, name, channels: 288 };
        let square = build.layers(&[("branch3x3", 384, HALF)]);
        Self { branches: vec![square, build.layers(&double), Branch::Halved] }
    }

    /// 17 × 17, 768 to 768, with `inner` channels in the factorized 7 × 7 convolutions.
    pub(super) fn middle(tensors: &mut Tensors, name: &str, inner: i64) -> Self {
        let seven = [
            ("branch7x7_1", inner, POINT),
            ("branch7x7_2", inner, WIDE),
            ("branch7x7_3", 192, TALL),
        ];
        let double = [
            ("branch7x7dbl_1", inner, POINT),
            ("branch7x7dbl_2", inner, TALL),
            ("branch7x7dbl_3", inner, WIDE),
            ("branch7x7dbl_4", inner, TALL),
            ("branch7x7dbl_5", 192, WIDE),
        ];
        let mut build = Rows { tensors, name, channels: 768 };
        let point = build.layers(&[("branch1x1", 192, POINT)]);
        let branches =
            vec![point, build.layers(&seven), build.layers(&double), build.pooled(Pool::Mean, 192)];
        Self { branches }
    }

    /// 17 × 17 to 8 × 8, 768 to 1280.
    pub(super) fn middle_to_coarse(tensors: &mut Tensors, name: &str) -> Self {
        let seven = [
            ("branch7x7x3_1", 192, POINT),
            ("branch7x7x3_2", 192, WIDE),
            ("branch7x7x3_3", 192, TALL),
            ("branch7x7x3_4", 192, HALF),
        ];
        let mut build = Rows { tensors, name, channels: 768 };
        let square = build.layers(&[("branch3x3_1", 192, POINT), ("branch3x3_2", 320, HALF)]);
        Self { branches: vec![square, build.layers(&seven), Branch::Halved] }
    }

    /// 8 × 8, `channels` to 2048.
    pub(super) fn coarse(tensors: &mut Tensors, name: &str, channels: i64, pool: Pool) -> Self {
        let mut build = Rows { tensors, name, channels };
        let point = build.layers(&[("branch1x1", 320, POINT)]);
        let square = build.fork(&[("branch3x3_1", 384, POINT)], "branch3x3_2");
        let double = [("branch3x3dbl_1", 448, POINT), ("branch3x3dbl_2", 384, SQUARE)];
        let branches =
            vec![point, square, build.fork(&double, "branch3x3dbl_3"), build.pooled(pool, 192)];
        Self { branches }
    }

    /// `[B, C, H, W]` to `[B, C', H', W']`.
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        let outputs: Vec<Tensor> =
            self.branches.iter().flat_map(|branch| branch.forward(x)).collect();
        Tensor::cat(&outputs, 1)
    }
}

impl Branch {
    fn forward(&self, x: &Tensor) -> Vec<Tensor> {
        match self {
            Self::Layers(layers) => vec![chain(layers, x)],
            Self::Fork(layers, ends) => {
                let h = chain(layers, x);
                ends.iter().map(|end| end.forward(&h)).collect()
            }
            Self::Pooled(pool, layer) => vec![layer.forward(&pool.apply(x))],
            Self::Halved => vec![x.max_pool2d([3, 3], [2, 2], [0, 0], [1, 1], false)],
        }
    }
}

/// Builds the branches of one block.
struct Rows<'t> {
    tensors: &'t mut Tensors,
    name: &'t str,
    channels: i64,
}

impl Rows<'_> {
    fn layer(&mut self, from: i64, (name, to, geometry): Row<'_>) -> Layer {
        Layer::new(self.tensors, &format!("{}.{name}", self.name), [from, to], geometry)
    }

    fn chained(&mut self, rows: &[Row<'_>]) -> Vec<Layer> {
        let mut from = self.channels;
        let mut next = |row: &Row<'_>| {
            let layer = self.layer(from, *row);
            from = row.1;
            layer
        };
        rows.iter().map(&mut next).collect()
    }

    fn layers(&mut self, rows: &[Row<'_>]) -> Branch {
        Branch::Layers(self.chained(rows))
    }

    /// The two ends are 1 × 3 and 3 × 1, both of 384 channels.
    fn fork(&mut self, rows: &[Row<'_>], ends: &str) -> Branch {
        let layers = self.chained(rows);
        let geometry = [("a", Geometry::rectangle(1, 3)), ("b", Geometry::rectangle(3, 1))];
        let end = |(letter, geometry)| self.layer(384, (&format!("{ends}{letter}"), 384, geometry));
        Branch::Fork(layers, geometry.map(end))
    }

    fn pooled(&mut self, pool: Pool, to: i64) -> Branch {
        Branch::Pooled(pool, self.layer(self.channels, ("branch_pool", to, POINT)))
    }
}
