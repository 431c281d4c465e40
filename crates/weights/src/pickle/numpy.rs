//! NumPy numbers, which objects have among their attributes.

use super::{Fault, Machine, Object, Value};

impl Machine<'_, '_> {
    /// `dtype(code, …)`; the byte order follows by [`numpy_byte_order`](Self::numpy_byte_order).
    pub(super) fn numpy_type(&mut self, code: Value) -> Result<Value, Fault> {
        let code = self.heap.text(code).ok_or(self.heap.expected("the name of a type", code))?;
        let code: Box<str> = code.into();
        self.heap.charge(code.len())?;
        self.heap.add(Object::NumPyType { code, is_big_endian: false })
    }

    /// The state of a type is `(version, byte order, …)`.
    pub(super) fn numpy_byte_order(&mut self, target: Value, state: Value) -> Result<(), Fault> {
        let order = self.heap.tuple(state).and_then(|state| self.heap.text(*state.get(1)?));
        let is_big = match order {
            Some("<" | "|" | "=") => false,
            Some(">") => true,
            _ => return Err(self.heap.expected("the state of a NumPy type", state)),
        };
        if let Some(Object::NumPyType { is_big_endian, .. }) = self.heap.get_mut(target) {
            *is_big_endian = is_big;
        }
        Ok(())
    }

    /// The number that a type makes of bytes.
    pub(super) fn numpy_scalar(&mut self, dtype: Value, bytes: Value) -> Result<Value, Fault> {
        let Some(Object::NumPyType { code, is_big_endian }) = self.heap.get(dtype) else {
            return Err(self.heap.expected("a NumPy type", dtype));
        };
        let mut wide = [0; 8];
        let n = self.short_bytes(bytes, &mut wide)?;
        if *is_big_endian {
            wide[..n].reverse();
        }
        number(code, &wide, n).ok_or_else(|| Fault::NumPy(format!("{code} of {n} bytes")))
    }

    /// Copies at most eight bytes and says how many.
    fn short_bytes(&self, bytes: Value, wide: &mut [u8; 8]) -> Result<usize, Fault> {
        let short = |n: usize| wide_enough(n).ok_or(self.heap.expected("eight bytes", bytes));
        match self.heap.get(bytes) {
            Some(Object::Bytes(span)) => {
                let n = short(usize::try_from(span.len).unwrap_or(usize::MAX))?;
                self.input.source().read_at(span.start, &mut wide[..n])?;
                Ok(n)
            }
            Some(Object::Blob(blob)) => {
                let n = short(blob.len())?;
                wide[..n].copy_from_slice(blob);
                Ok(n)
            }
            _ => Err(self.heap.expected("bytes", bytes)),
        }
    }
}

fn wide_enough(n: usize) -> Option<usize> {
    (n <= 8).then_some(n)
}

/// Little-endian bytes, of which `n` are used, as a number of type `code`.
fn number(code: &str, bytes: &[u8; 8], n: usize) -> Option<Value> {
    let unsigned = u64::from_le_bytes(*bytes);
    let unused = 64 - 8 * n as u32;
    Some(match (code, n) {
        ("f8", 8) => Value::Float(f64::from_bits(unsigned)),
        ("f4", 4) => Value::Float(f32::from_bits(unsigned as u32).into()),
        ("f2", 2) => Value::Float(half::f16::from_bits(unsigned as u16).into()),
        ("i8", 8) | ("i4", 4) | ("i2", 2) | ("i1", 1) => {
            Value::Int((unsigned << unused) as i64 >> unused)
        }
        ("u8", 8) | ("u4", 4) | ("u2", 2) | ("u1", 1) => Value::Int(unsigned.try_into().ok()?),
        ("b1", 1) => Value::Bool(unsigned != 0),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pickle::trial::run;

    #[test]
    fn every_type_of_number() {
        let number = |code, bytes: &[u8]| {
            let mut wide = [0; 8];
            wide[..bytes.len()].copy_from_slice(bytes);
            number(code, &wide, bytes.len())
        };
        assert_eq!(number("f8", &0.1f64.to_le_bytes()), Some(Value::Float(0.1)));
        assert_eq!(number("f4", &0.5f32.to_le_bytes()), Some(Value::Float(0.5)));
        assert_eq!(number("f2", &[0, 0x3c]), Some(Value::Float(1.0)));
        assert_eq!(number("i8", &(-3i64).to_le_bytes()), Some(Value::Int(-3)));
        assert_eq!(number("i4", &(-3i32).to_le_bytes()), Some(Value::Int(-3)));
        assert_eq!(number("i1", &[0x80]), Some(Value::Int(-128)));
        assert_eq!(number("u1", &[0x80]), Some(Value::Int(128)));
        assert_eq!(number("b1", &[1]), Some(Value::Bool(true)));
        for (code, bytes) in [("f8", &[0; 4][..]), ("O8", &[0; 8]), ("u8", &[0xff; 8]), ("i8", &[])]
        {
            assert_eq!(number(code, bytes), None, "{code}");
        }
    }

    #[test]
    fn a_number_is_read_from_the_file() {
        let pickle = |order: &[u8; 1], bytes: &[u8]| {
            let scalar =
                &b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x02i2\x89\x88\x87R"[..];
            let state =
                [b"(K\x03U\x01", &order[..], b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"];
            [scalar, &state.concat(), &[b'C', bytes.len() as u8], bytes, b"\x86R."].concat()
        };
        assert_eq!(run(&pickle(b"<", &[1, 2])).unwrap(), "Int(513)");
        assert_eq!(run(&pickle(b">", &[1, 2])).unwrap(), "Int(258)");
        assert!(run(&pickle(b"<", &[1, 2, 3])).unwrap_err().contains("\"i2 of 3 bytes\""));
        assert!(run(&pickle(b"<", &[0; 9])).unwrap_err().contains("expected eight bytes"));
        assert!(run(&pickle(b"?", &[1, 2])).unwrap_err().contains("state of a NumPy type"));
    }
}
