//! Attention itself: fused, unless somebody wants to see the map.

use super::Pass;
use diffusion_core::{AttentionMap, AttentionSite};
use libtorch_ext::kernels;
use tch::{Kind, Tensor};

/// Lets every query look at every key.
///
/// ```text
/// w[q, k] = softmax over k of  Σ_c query[q, c] · key[k, c] / √D
/// a[q, c] = Σ_k w[q, k] · value[k, c]
/// ```
///
/// `query`: `[B, heads, Q, D]`; `key`, `value`: `[B, heads, K, D]`; returns `[B, heads, Q, D]`. `grid`: height and width
/// of the image of queries. The map is formed, in `f32`, only for a layer that `pass` wants.
pub(crate) fn attend(
    [query, key, value]: &[Tensor; 3],
    site: &AttentionSite,
    grid: [i64; 2],
    pass: &mut Pass<'_>,
) -> Tensor {
    if !pass.wants(site) {
        return kernels::attention(query, key, value).unwrap_or_else(|error| panic!("{error}"));
    }
    let scale = (query.size()[3] as f64).powf(-0.5);
    let weights = (query.matmul(&key.transpose(-2, -1)) * scale).softmax(-1, Kind::Float);
    let weights = pass.see(AttentionMap { site, grid, weights: &weights });
    weights.to_kind(value.kind()).matmul(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use diffusion_core::{AttentionKind, AttentionTap, Noise, Part};

    fn site() -> AttentionSite {
        let kind = AttentionKind::SelfAttention;
        AttentionSite { name: "attn".into(), part: Part::Encoder, kind, heads: 2 }
    }

    fn arguments() -> [Tensor; 3] {
        [6, 4, 4].map(|tokens| Noise::new(tokens as u64).normal(&[1, 2, tokens, 3]))
    }

    /// The formula, one number at a time.
    fn by_hand([query, key, value]: &[Tensor; 3]) -> Tensor {
        let found = query.zeros_like();
        for (head, q) in (0..2).flat_map(|head| (0..6).map(move |q| (head, q))) {
            let at = |t: &Tensor, row, c| t.double_value(&[0, head, row, c]);
            let logit = |k| (0..3).map(|c| at(query, q, c) * at(key, k, c)).sum::<f64>();
            let weights: Vec<f64> = (0..4).map(|k| (logit(k) / 3f64.sqrt()).exp()).collect();
            let total: f64 = weights.iter().sum();
            for c in 0..3 {
                let sum: f64 = (0..4).map(|k| weights[k as usize] / total * at(value, k, c)).sum();
                let _ = found.get(0).get(head).get(q).get(c).fill_(sum);
            }
        }
        found
    }

    struct Tap(Option<Tensor>, Vec<Vec<i64>>);

    impl AttentionTap for Tap {
        fn wants(&self, _: &AttentionSite) -> bool {
            true
        }

        fn see(&mut self, map: AttentionMap<'_>) -> Option<Tensor> {
            let sums = map.weights.sum_dim_intlist([-1].as_slice(), false, Kind::Float);
            assert!((sums - 1.0).abs().max().double_value(&[]) < 1e-6);
            self.1.push(map.weights.size());
            self.0.as_ref().map(Tensor::shallow_clone)
        }
    }

    #[test]
    fn fused_and_watched_attention_are_the_formula() {
        let arguments = arguments();
        let expected = by_hand(&arguments);
        let fused = attend(&arguments, &site(), [2, 3], &mut Pass::new(None));
        let mut tap = Tap(None, Vec::new());
        let watched = attend(&arguments, &site(), [2, 3], &mut Pass::new(None).attending(&mut tap));
        for found in [fused, watched] {
            assert!((found - &expected).abs().max().double_value(&[]) < 1e-6);
        }
        assert_eq!(tap.1, [[1, 2, 6, 4]]);
    }

    #[test]
    fn a_replacement_takes_the_place_of_the_map() {
        let arguments = arguments();
        let first_key = Tensor::from_slice(&[1f32, 0.0, 0.0, 0.0]).expand([1, 2, 6, 4], false);
        let mut tap = Tap(Some(first_key), Vec::new());
        let found = attend(&arguments, &site(), [2, 3], &mut Pass::new(None).attending(&mut tap));
        assert_eq!(found, arguments[2].narrow(2, 0, 1).expand([1, 2, 6, 3], false));
    }

    #[test]
    #[should_panic(expected = "of `attn` has shape [1]; the map has [1, 2, 6, 4]")]
    fn a_replacement_of_another_shape_is_refused() {
        let mut tap = Tap(Some(Tensor::from_slice(&[1f32])), Vec::new());
        let _ = attend(&arguments(), &site(), [2, 3], &mut Pass::new(None).attending(&mut tap));
    }
}
