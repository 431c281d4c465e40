//! Types of elements.

use safetensors::Dtype as Stored;
use std::fmt;

/// The type of a tensor's elements, under its safetensors name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dtype {
    /// 64-bit floating point.
    F64,
    /// 32-bit floating point.
    F32,
    /// 16-bit floating point, IEEE half precision.
    F16,
    /// 16-bit floating point with the exponent of `F32`.
    BF16,
    /// Signed 64-bit integer.
    I64,
    /// Signed 32-bit integer.
    I32,
    /// Signed 16-bit integer.
    I16,
    /// Signed 8-bit integer.
    I8,
    /// Unsigned 64-bit integer.
    U64,
    /// Unsigned 32-bit integer.
    U32,
    /// Unsigned 16-bit integer.
    U16,
    /// Unsigned 8-bit integer.
    U8,
    /// A byte that is 0 or 1.
    Bool,
}

/// Every type: ours, that of safetensors, and the names that PyTorch has for its storage and for itself. PyTorch files
/// hold the wider unsigned integers in another kind of record, which is not read.
const TABLE: [(Dtype, Stored, &str, &str); 13] = [
    (Dtype::F64, Stored::F64, "DoubleStorage", "float64"),
    (Dtype::F32, Stored::F32, "FloatStorage", "float32"),
    (Dtype::F16, Stored::F16, "HalfStorage", "float16"),
    (Dtype::BF16, Stored::BF16, "BFloat16Storage", "bfloat16"),
    (Dtype::I64, Stored::I64, "LongStorage", "int64"),
    (Dtype::I32, Stored::I32, "IntStorage", "int32"),
    (Dtype::I16, Stored::I16, "ShortStorage", "int16"),
    (Dtype::I8, Stored::I8, "CharStorage", "int8"),
    (Dtype::U64, Stored::U64, "", "uint64"),
    (Dtype::U32, Stored::U32, "", "uint32"),
    (Dtype::U16, Stored::U16, "", "uint16"),
    (Dtype::U8, Stored::U8, "ByteStorage", "uint8"),
    (Dtype::Bool, Stored::BOOL, "BoolStorage", "bool"),
];

impl Dtype {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        self.stored().bitsize() / 8
    }

    /// Whether it is a floating-point type.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F64 | Self::F32 | Self::F16 | Self::BF16)
    }

    pub(crate) fn stored(self) -> Stored {
        TABLE.iter().find(|row| row.0 == self).map_or(Stored::U8, |row| row.1)
    }

    pub(crate) fn of_stored(stored: Stored) -> Option<Self> {
        TABLE.iter().find(|row| row.1 == stored).map(|row| row.0)
    }

    /// The elements of `torch.<class>`, for example `FloatStorage`.
    pub(crate) fn of_storage(class: &str) -> Option<Self> {
        TABLE.iter().find(|row| !class.is_empty() && row.2 == class).map(|row| row.0)
    }

    /// What PyTorch calls `torch.<name>`, for example `float16`.
    pub(crate) fn of_torch(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.3 == name).map(|row| row.0)
    }

    /// `torch.float16` for `F16`.
    pub(crate) fn torch_name(self) -> String {
        let name = TABLE.iter().find(|row| row.0 == self).map_or("", |row| row.3);
        format!("torch.{name}")
    }
}

impl fmt::Display for Dtype {
    /// The safetensors name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.stored())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_a_type_lead_back_to_it() {
        for (dtype, stored, storage, torch) in TABLE {
            assert_eq!((dtype.stored(), Dtype::of_stored(stored)), (stored, Some(dtype)));
            assert_eq!(Dtype::of_storage(storage), (!storage.is_empty()).then_some(dtype));
            assert_eq!(Dtype::of_torch(torch), Some(dtype));
            assert_eq!(dtype.torch_name(), format!("torch.{torch}"));
        }
        assert_eq!(Dtype::of_stored(Stored::C64), None);
        assert_eq!(Dtype::BF16.to_string(), "BF16");
    }

    #[test]
    fn sizes_are_in_bytes() {
        let sizes = TABLE.map(|row| row.0.size());
        assert_eq!(sizes, [8, 4, 2, 2, 8, 4, 2, 1, 8, 4, 2, 1, 1]);
    }
}
