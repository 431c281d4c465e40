//! `resize`: images of bytes at another size.

use super::Replayed;
use crate::{Result, Tolerance};
use metrics::Resize;
use serde::Deserialize;
use tch::{Kind, Tensor};
use testkit::{GoldenCase, formula};

#[derive(Deserialize)]
struct Config {
    formula_name: String,
    height: i64,
    width: i64,
    /// The rows that are kept of an output of 299.
    rows: Vec<i64>,
}

pub(super) fn replay(case: &GoldenCase) -> Result<Replayed> {
    let config: Config = serde_json::from_value(case.description().clone())?;
    let image = match case.tensor("image") {
        Ok(image) => image.shallow_clone(),
        Err(_) => image_by_formula(&config),
    };
    let bytes = image.permute([2, 0, 1]).unsqueeze(0).contiguous();
    let resized =
        |resize: Resize, size| resize.apply(&bytes, [size, size]).map(|x| x.squeeze_dim(0));
    let mut replayed = Replayed::default();
    replayed.given(["image", "tf1_grid_max_difference"]);
    for (name, resize, tolerance) in [
        ("tf1", Resize::Tensorflow1Bilinear, 2e-2),
        ("clean_bicubic", Resize::PillowBicubicFloat, 1e-3),
        ("legacy_pytorch", Resize::TorchBilinear, 2e-2),
    ] {
        let levels = resized(resize, 299)?;
        insert_large(&mut replayed, name, &levels, &config.rows, (tolerance, 255.0));
    }
    let unit = resized(Resize::TorchBilinear, 299)? / 127.5 - 1.0;
    insert_large(&mut replayed, "torch_bilinear_unit", &unit, &config.rows, (2e-4, 1.0));
    let cubic = resized(Resize::TorchBicubic, 224)?;
    insert_large(&mut replayed, "torch_bicubic224", &cubic, &[0, 1, 111, 222, 223], (2e-2, 255.0));
    for (name, resize, size) in [
        ("pil_bicubic64_u8", Resize::PillowBicubic, 64),
        ("pil_lanczos72_u8", Resize::PillowLanczos, 72),
    ] {
        replayed.insert_within(Tolerance::Relative(0.0), name, resized(resize, size)?);
    }
    Ok(replayed)
}

/// Rows, and the means of the values and of their squares by channel; the squares of values below `scale` are within twice
/// the scale of the tolerance.
fn insert_large(
    replayed: &mut Replayed,
    name: &str,
    image: &Tensor,
    rows: &[i64],
    (tolerance, scale): (f64, f64),
) {
    let kept = image.index_select(1, &Tensor::from_slice(rows));
    let image = image.to_kind(Kind::Double);
    let mean = |x: &Tensor| x.mean_dim([1, 2].as_slice(), false, Kind::Double);
    let within = Tolerance::Absolute;
    replayed.insert_within(within(tolerance), format!("{name}.rows"), kept);
    replayed.insert_within(within(tolerance), format!("{name}.mean"), mean(&image));
    let squares = mean(&image.square());
    replayed.insert_within(within(2.0 * scale * tolerance), format!("{name}.sumsq"), squares);
}

/// `floor((u + 1) 128)` of the unit values `u`, multiples of 2⁻²³.
fn image_by_formula(config: &Config) -> Tensor {
    let noise = formula::noise(&config.formula_name, &[config.height, config.width, 3]);
    let steps = f64::from(1 << 23);
    let unit = (noise.to_kind(Kind::Double) * (steps / 3f64.sqrt())).round() / steps;
    ((unit + 1.0) * 128.0).floor().to_kind(Kind::Uint8)
}
