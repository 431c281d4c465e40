//! Self-attention.

use tch::Tensor;

/// Which tokens a token sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    /// All of them.
    All,
    /// Itself and those before it.
    Before,
}

/// Attention among the tokens of a sequence: `qkv`, `[B, tokens, 3 width]`, which runs over (query | key | value, head,
/// channel), to `[B, tokens, width]`.
pub(crate) fn attend(qkv: &Tensor, heads: i64, sight: Sight) -> Tensor {
    let [b, tokens, three_width] = qkv.size()[..] else { panic!("`qkv` must have three axes") };
    let parts = qkv.reshape([b, tokens, 3, heads, -1]).permute([2, 0, 3, 1, 4]);
    let [query, key, value] = [0, 1, 2].map(|part| parts.get(part));
    let attended = Tensor::scaled_dot_product_attention(
        &query,
        &key,
        &value,
        None::<&Tensor>,
        0.0,
        sight == Sight::Before,
        None,
        false,
    );
    attended.transpose(1, 2).reshape([b, tokens, three_width / 3])
}
