//! Faster kernels for what U-Nets spend their time on.
//!
//! On the CPU, in single precision and with channels last in memory, these are loops of this crate; anywhere else they are
//! the same formula by libtorch's own operations. Values agree to rounding, gradients too, and both can be differentiated
//! again. Forward-mode derivatives take libtorch's operations.
//!
//! Under [`Autocast`](crate::Autocast) on the CPU they stay in `f32`: a convolution with a quarter of the multiplications is
//! faster than one in `bf16`, and exact.

mod attention;
mod convolution;
mod group_norm;

pub use attention::attention;
pub use convolution::{Convolution, PreparedWeight};
pub use group_norm::{group_norm, group_norm_silu};
