//! Tensors as bytes.

use crate::Dtype;
use half::{bf16, f16};

/// Name, type and shape of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name: the keys on the way to it, joined with dots.
    pub name: String,
    /// The type of its elements.
    pub dtype: Dtype,
    /// Elements along each axis; empty for a scalar.
    pub shape: Vec<usize>,
}

impl TensorInfo {
    /// How many elements it has.
    pub fn numel(&self) -> usize {
        if self.shape.contains(&0) { 0 } else { self.shape.iter().product() }
    }

    /// How many bytes its elements take.
    pub fn n_bytes(&self) -> usize {
        self.numel() * self.dtype.size()
    }
}

/// A tensor's elements, in row-major order without gaps, little-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorData {
    /// The type of its elements.
    pub dtype: Dtype,
    /// Elements along each axis; empty for a scalar.
    pub shape: Vec<usize>,
    /// The elements.
    pub bytes: Vec<u8>,
}

impl TensorData {
    /// The elements as `f32`, each rounded to the nearest; truth values are 0 and 1.
    ///
    /// # Example
    /// ```
    /// use weights::{Dtype, TensorData};
    ///
    /// let half = TensorData { dtype: Dtype::F16, shape: vec![2], bytes: vec![0, 0x3c, 0, 0xc0] };
    /// assert_eq!(half.to_f32(), [1.0, -2.0]);
    /// ```
    pub fn to_f32(&self) -> Vec<f32> {
        let bytes = &self.bytes;
        match self.dtype {
            Dtype::F64 => each(bytes, |x| f64::from_le_bytes(x) as f32),
            Dtype::F32 => each(bytes, f32::from_le_bytes),
            Dtype::F16 => each(bytes, |x| f16::from_le_bytes(x).to_f32()),
            Dtype::BF16 => each(bytes, |x| bf16::from_le_bytes(x).to_f32()),
            Dtype::I64 => each(bytes, |x| i64::from_le_bytes(x) as f32),
            Dtype::I32 => each(bytes, |x| i32::from_le_bytes(x) as f32),
            Dtype::I16 => each(bytes, |x| i16::from_le_bytes(x).into()),
            Dtype::I8 => each(bytes, |x| i8::from_le_bytes(x).into()),
            Dtype::U64 => each(bytes, |x| u64::from_le_bytes(x) as f32),
            Dtype::U32 => each(bytes, |x| u32::from_le_bytes(x) as f32),
            Dtype::U16 => each(bytes, |x| u16::from_le_bytes(x).into()),
            Dtype::U8 => each(bytes, |[x]: [u8; 1]| x.into()),
            Dtype::Bool => each(bytes, |[x]: [u8; 1]| if x == 0 { 0.0 } else { 1.0 }),
        }
    }

    /// The tensor with elements of type `F32`, `F16` or `BF16`, each rounded once to the nearest, ties to even. What is
    /// too large becomes infinite. For any other `dtype` there is no result.
    pub fn cast(self, dtype: Dtype) -> Option<Self> {
        if dtype == self.dtype && dtype.is_float() && dtype != Dtype::F64 {
            return Some(self);
        }
        let bytes = match (dtype, self.dtype) {
            (Dtype::F32, _) => join(self.to_f32(), f32::to_le_bytes),
            (Dtype::F16, _) => join(self.to_odd(), |x| f16::from_f32(x).to_le_bytes()),
            (Dtype::BF16, _) => join(self.to_odd(), |x| bf16::from_f32(x).to_le_bytes()),
            _ => return None,
        };
        Some(Self { dtype, shape: self.shape, bytes })
    }

    /// The elements as `f32` from which another rounding gives what one rounding would have given.
    fn to_odd(&self) -> Vec<f32> {
        match self.dtype {
            Dtype::F64 => each(&self.bytes, |x| odd(f64::from_le_bytes(x))),
            _ => self.to_f32(),
        }
    }
}

/// Rounds to odd: cut off, and the last bit set if that lost anything.
fn odd(x: f64) -> f32 {
    let near = x as f32;
    if f64::from(near) == x || x.is_nan() {
        return near;
    }
    let is_beyond = f64::from(near).abs() > x.abs();
    f32::from_bits((near.to_bits() - u32::from(is_beyond)) | 1)
}

fn each<const N: usize>(bytes: &[u8], convert: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&element| convert(element)).collect()
}

fn join<T, const N: usize>(elements: Vec<T>, convert: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    elements.into_iter().flat_map(convert).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(dtype: Dtype, bytes: &[u8]) -> TensorData {
        TensorData { dtype, shape: vec![bytes.len() / dtype.size()], bytes: bytes.into() }
    }

    #[test]
    fn every_type_has_its_value() {
        let cases: [(Dtype, &[u8], f32); 13] = [
            (Dtype::F64, &(-0.5f64).to_le_bytes(), -0.5),
            (Dtype::F32, &1e-40f32.to_le_bytes(), 1e-40),
            (Dtype::F16, &[1, 0], 5.9604645e-8), // the smallest subnormal, 2^-24
            (Dtype::BF16, &[0x80, 0x3f], 1.0),
            (Dtype::I64, &(-(1i64 << 40)).to_le_bytes(), -(2f32.powi(40))),
            (Dtype::I32, &(-7i32).to_le_bytes(), -7.0),
            (Dtype::I16, &(-300i16).to_le_bytes(), -300.0),
            (Dtype::I8, &[0x80], -128.0),
            (Dtype::U64, &u64::MAX.to_le_bytes(), 2f32.powi(64)),
            (Dtype::U32, &u32::MAX.to_le_bytes(), 2f32.powi(32)),
            (Dtype::U16, &u16::MAX.to_le_bytes(), 65535.0),
            (Dtype::U8, &[255], 255.0),
            (Dtype::Bool, &[1], 1.0),
        ];
        for (dtype, bytes, value) in cases {
            assert_eq!(tensor(dtype, bytes).to_f32(), [value], "{dtype}");
        }
    }

    #[test]
    fn a_cast_rounds_once() {
        // 1 + 2^-11 + 2^-40 lies above the middle between two halves; by way of f32 it would be taken for the middle.
        let x = 1.0 + 2f64.powi(-11) + 2f64.powi(-40);
        let half = tensor(Dtype::F64, &x.to_le_bytes()).cast(Dtype::F16).unwrap();
        assert_eq!(half.to_f32(), [1.0 + 2f32.powi(-10)]);
        let tie = tensor(Dtype::F32, &(1.0 + 2f32.powi(-8)).to_le_bytes());
        assert_eq!(tie.cast(Dtype::BF16).unwrap().to_f32(), [1.0]); // to even
        let large = tensor(Dtype::F32, &1e6f32.to_le_bytes());
        assert_eq!(large.cast(Dtype::F16).unwrap().to_f32(), [f32::INFINITY]);
    }

    #[test]
    fn a_cast_to_the_same_type_changes_no_bit() {
        let signaling = tensor(Dtype::F32, &0x7f80_0001u32.to_le_bytes());
        assert_eq!(signaling.clone().cast(Dtype::F32), Some(signaling));
        assert_eq!(tensor(Dtype::F32, &[0; 4]).cast(Dtype::I64), None);
        assert_eq!(tensor(Dtype::F64, &[0; 8]).cast(Dtype::F64), None);
    }
}
