//! Arithmetic of a network, counted from the names and shapes of its parameters.

use fewstep::diffusion_core::Parameters;

/// Floating-point operations of one evaluation on one image: two for each multiplication and addition in a convolution,
/// a fully connected layer or an attention product. Norms and activations are left out.
///
/// The resolution of a layer is in its official name: `model.enc.16x16_block0.conv0.weight`.
pub(crate) fn per_image(parameters: &Parameters) -> f64 {
    parameters.iter().map(|parameter| of_layer(&parameter.name, &parameter.tensor.size())).sum()
}

pub(crate) fn of_layer(name: &str, shape: &[i64]) -> f64 {
    if !name.ends_with(".weight") || shape.len() < 2 {
        return 0.0;
    }
    let per_pixel = 2.0 * shape.iter().product::<i64>() as f64;
    // Fully connected layers see one vector per image.
    let pixels = if shape.len() == 4 { pixels(name) } else { 1.0 };
    // Two products, [pixels, c] · [c, pixels] and [c, pixels] · [pixels, pixels]; `proj` is [c, c, 1, 1].
    let attention =
        if name.ends_with(".proj.weight") { 4.0 * shape[0] as f64 * pixels * pixels } else { 0.0 };
    per_pixel * pixels + attention
}

/// Height times width of the layer: `16x16_block0` has 256.
fn pixels(name: &str) -> f64 {
    let layer = name.split('.').find_map(|part| part.split_once('x'));
    let side = layer.and_then(|(side, _)| side.parse::<f64>().ok());
    side.expect("a convolution's name begins with its resolution").powi(2)
}
