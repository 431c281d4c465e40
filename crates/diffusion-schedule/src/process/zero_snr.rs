//! Rates whose last step leaves nothing of the image.

/// Rates `betas` changed so that the last level is pure noise; the last rate is 1.
///
/// ```text
/// √ā'_i = (√ā_i - √ā_(n-1)) √ā_0 / (√ā_0 - √ā_(n-1)),   ā_i = Π_(j ≤ i) (1 - beta_j),   beta'_i = 1 - ā'_i / ā'_(i-1)
/// ```
///
/// Fewer than two rates are returned as they are.
///
/// # Source
/// Lin et al. 2024, arXiv:2305.08891, algorithm 1; diffusers' `rescale_betas_zero_snr`.
///
/// # Example
/// ```
/// let betas = diffusion_schedule::zero_terminal_snr(&[0.19, 0.3, 0.5]);
/// assert!((betas[0] - 0.19).abs() < 1e-12 && betas[2] == 1.0);
/// ```
pub fn zero_terminal_snr(betas: &[f64]) -> Vec<f64> {
    if betas.len() < 2 {
        return betas.to_vec();
    }
    let roots: Vec<f64> = alphas_cumprod(betas).into_iter().map(f64::sqrt).collect();
    let (first, last) = (roots[0], roots[roots.len() - 1]);
    let scale = first / (first - last);
    let rescaled = roots.iter().map(|root| ((root - last) * scale).powi(2));
    let mut before = 1.0;
    rescaled
        .map(|alpha_bar| {
            let beta = 1.0 - alpha_bar / before;
            before = alpha_bar;
            beta
        })
        .collect()
}

/// The shares of the image's variance that are left: `ā_i = Π_(j ≤ i) (1 - beta_j)`.
pub(super) fn alphas_cumprod(betas: &[f64]) -> Vec<f64> {
    let shares = betas.iter().scan(1.0, |share, beta| {
        *share *= 1.0 - beta;
        Some(*share)
    });
    shares.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BetaSchedule;

    #[test]
    fn the_first_level_stays_and_the_last_is_pure_noise() {
        let betas = BetaSchedule::ScaledLinear.betas(1000, 0.00085, 0.012);
        let rescaled = zero_terminal_snr(&betas);
        let (before, after) = (alphas_cumprod(&betas), alphas_cumprod(&rescaled));
        assert!((before[0] - after[0]).abs() < 1e-15);
        assert_eq!((rescaled[999], after[999]), (1.0, 0.0));
        assert!(after.windows(2).all(|pair| pair[1] < pair[0]));
    }

    #[test]
    fn rates_are_those_of_the_official_code_in_double_precision() {
        for (betas, expected) in [
            (
                BetaSchedule::ScaledLinear.betas(1000, 0.00085, 0.012),
                [0.000_917_333_593_372_093_9, 0.751_137_004_176_492],
            ),
            (
                BetaSchedule::Linear.betas(1000, 1e-4, 0.02),
                [0.000_120_686_635_510_680_6, 0.752_267_231_150_466_7],
            ),
            (
                BetaSchedule::SquaredcosCapV2.betas(1000, 0.0, 0.0),
                [4.614_402_685_099_161_5e-5, 0.757_967_580_827_905_8],
            ),
        ] {
            let rescaled = zero_terminal_snr(&betas);
            for (i, expected) in [1, 998].into_iter().zip(expected) {
                assert!((rescaled[i] / expected - 1.0).abs() < 1e-9, "{i}: {}", rescaled[i]);
            }
        }
    }

    #[test]
    fn what_has_no_last_step_beside_the_first_stays() {
        assert!(zero_terminal_snr(&[]).is_empty());
        assert_eq!(zero_terminal_snr(&[0.5]), [0.5]);
    }
}
