//! Queries, keys and values that one convolution makes together.

use tch::Tensor;

/// What the channels of such a convolution run over, the last fastest. All have the same shape, so that a file does
/// not tell which it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QkvOrder {
    /// Head, channel of the head, query | key | value: EDM.
    HeadChannelPart,
    /// Head, query | key | value, channel of the head: guided-diffusion's legacy order.
    HeadPartChannel,
    /// Query | key | value, head, channel of the head: guided-diffusion's new order, consistency models.
    PartHeadChannel,
}

impl QkvOrder {
    /// `[B, 3 · heads · D, H, W]` to queries, keys and values, each `[B, heads, H · W, D]`.
    pub(crate) fn split(self, qkv: &Tensor, heads: i64) -> [Tensor; 3] {
        let [b, three_c, h, w] = qkv.size()[..] else { panic!("`qkv` must have four axes") };
        let (tokens, width) = (h * w, three_c / 3 / heads);
        let by_pixel = qkv.permute([0, 2, 3, 1]);
        // where pixels lie together already, this is a view of one block of memory; the parts are made contiguous
        let parts = match self {
            Self::HeadChannelPart => {
                by_pixel.reshape([b, tokens, heads, width, 3]).permute([4, 0, 2, 1, 3])
            }
            Self::HeadPartChannel => {
                by_pixel.reshape([b, tokens, heads, 3, width]).permute([3, 0, 2, 1, 4])
            }
            Self::PartHeadChannel => {
                by_pixel.reshape([b, tokens, 3, heads, width]).permute([2, 0, 3, 1, 4])
            }
        };
        let parts = parts.contiguous().unbind(0);
        parts.try_into().unwrap_or_else(|_| unreachable!("the axis has three entries"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn every_order_finds_its_channels() {
        let (heads, width, pixels) = (2, 5, 6);
        let qkv = Tensor::arange(3 * heads * width * pixels, (Kind::Float, Device::Cpu));
        let qkv = qkv.view([1, 3 * heads * width, 2, 3]);
        type Channel = fn(i64, i64, i64) -> i64;
        let orders: [(QkvOrder, Channel); 3] = [
            (QkvOrder::HeadChannelPart, |head, c, part| (head * 5 + c) * 3 + part),
            (QkvOrder::HeadPartChannel, |head, c, part| (head * 3 + part) * 5 + c),
            (QkvOrder::PartHeadChannel, |head, c, part| (part * 2 + head) * 5 + c),
        ];
        for (order, channel) in orders {
            for (part, tensor) in (0..).zip(order.split(&qkv, heads)) {
                assert_eq!(tensor.size(), [1, heads, pixels, width]);
                for (head, c, pixel) in [(0, 0, 0), (1, 0, 3), (0, 4, 5), (1, 3, 2)] {
                    let expected = (channel(head, c, part) * pixels + pixel) as f64;
                    assert_eq!(tensor.double_value(&[0, head, pixel, c]), expected, "{order:?}");
                }
            }
        }
    }
}
