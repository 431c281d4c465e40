//! Numbers, text and bytes.

use super::opcode as op;
use super::{Fault, Machine, Object, Value};

/// Bytes of an integer; larger ones have no use in a file of weights.
const LONG: u64 = 256;

impl Machine<'_, '_> {
    /// Pushes a number, text or bytes; whether `opcode` does that.
    pub(super) fn atom(&mut self, opcode: u8) -> Result<bool, Fault> {
        match opcode {
            op::NONE => self.push(Value::None)?,
            op::NEWTRUE => self.push(Value::Bool(true))?,
            op::NEWFALSE => self.push(Value::Bool(false))?,
            op::BININT | op::BININT1 | op::BININT2 => {
                let value = self.int(opcode)?;
                self.push(Value::Int(value))?;
            }
            op::LONG1 | op::LONG4 => self.long(opcode)?,
            op::BINFLOAT => {
                let value = f64::from_be_bytes(self.input.array()?);
                self.push(Value::Float(value))?;
            }
            op::SHORT_BINSTRING | op::SHORT_BINUNICODE => self.text(1)?,
            op::BINSTRING | op::BINUNICODE => self.text(4)?,
            op::BINUNICODE8 => self.text(8)?,
            op::SHORT_BINBYTES => self.bytes(1)?,
            op::BINBYTES => self.bytes(4)?,
            op::BINBYTES8 | op::BYTEARRAY8 => self.bytes(8)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn int(&mut self, opcode: u8) -> Result<i64, Fault> {
        Ok(match opcode {
            op::BININT1 => self.input.byte()?.into(),
            op::BININT2 => u16::from_le_bytes(self.input.array()?).into(),
            _ => i32::from_le_bytes(self.input.array()?).into(),
        })
    }

    fn long(&mut self, opcode: u8) -> Result<(), Fault> {
        let len = if opcode == op::LONG1 { self.length(1)? } else { self.length(4)? };
        let bytes = self.input.take("an integer", len, LONG)?;
        if let Some(value) = small(&bytes) {
            return self.push(Value::Int(value));
        }
        self.heap.charge(bytes.len())?;
        self.push_object(Object::Big(bytes.into()))
    }

    fn text(&mut self, width: usize) -> Result<(), Fault> {
        let len = self.length(width)?;
        let bytes = self.input.take("text", len, self.heap.limits.text())?;
        let text = String::from_utf8(bytes).map_err(|_| Fault::NotUtf8)?;
        let value = self.heap.add_text(text)?;
        self.push(value)
    }

    fn bytes(&mut self, width: usize) -> Result<(), Fault> {
        let len = self.length(width)?;
        let span = self.input.skip(len)?;
        self.push_object(Object::Bytes(span))
    }

    /// A length of `width` bytes.
    fn length(&mut self, width: usize) -> Result<u64, Fault> {
        let mut bytes = [0; 8];
        for byte in &mut bytes[..width] {
            *byte = self.input.byte()?;
        }
        Ok(u64::from_le_bytes(bytes))
    }
}

/// An integer in two's complement, if it fits; it may be written with more bytes than it needs.
fn small(bytes: &[u8]) -> Option<i64> {
    let is_negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let fill = if is_negative { 0xff } else { 0 };
    let (low, high) = bytes.split_at(bytes.len().min(8));
    let mut wide = [fill; 8];
    wide[..low.len()].copy_from_slice(low);
    let value = i64::from_le_bytes(wide);
    let is_whole = high.iter().all(|byte| *byte == fill) && (value < 0) == is_negative;
    is_whole.then_some(value)
}

#[cfg(test)]
mod tests {
    use crate::pickle::trial::run;

    #[test]
    fn every_number() {
        assert_eq!(run(b"N.").unwrap(), "None");
        assert_eq!(run(b"\x88.").unwrap(), "Bool(true)");
        assert_eq!(run(b"\x89.").unwrap(), "Bool(false)");
        assert_eq!(run(b"J\xfe\xff\xff\xff.").unwrap(), "Int(-2)");
        assert_eq!(run(b"K\xff.").unwrap(), "Int(255)");
        assert_eq!(run(b"M\xff\xff.").unwrap(), "Int(65535)");
        assert_eq!(run(b"\x8a\0.").unwrap(), "Int(0)");
        assert_eq!(run(b"\x8a\x02\0\xff.").unwrap(), "Int(-256)");
        assert_eq!(run(b"\x8b\x01\0\0\0\x7f.").unwrap(), "Int(127)");
        assert_eq!(run(b"\x8a\x08\0\0\0\0\0\0\0\x80.").unwrap(), format!("Int({})", i64::MIN));
        assert_eq!(run(b"\x8a\x09\x05\0\0\0\0\0\0\0\0.").unwrap(), "Int(5)"); // wider than needed
        assert_eq!(run(&[&b"\x8a\x0a\xfe"[..], &[0xff; 9], b"."].concat()).unwrap(), "Int(-2)");
        assert!(run(b"\x8a\x09\0\0\0\0\0\0\0\x80\0.").unwrap().starts_with("Big"));
        assert_eq!(run(b"G?\xe0\0\0\0\0\0\0.").unwrap(), "Float(0.5)");
        assert_eq!(run(b"G\x7f\xf0\0\0\0\0\0\0.").unwrap(), "Float(inf)");
    }

    #[test]
    fn every_text_and_bytes() {
        for pickle in [
            &b"U\x02ab."[..],
            b"T\x02\0\0\0ab.",
            b"X\x02\0\0\0ab.",
            b"\x8c\x02ab.",
            b"\x8d\x02\0\0\0\0\0\0\0ab.",
        ] {
            assert_eq!(run(pickle).unwrap(), "'ab'");
        }
        assert_eq!(run(b"X\x02\0\0\0\xc3\xa9.").unwrap(), "'é'");
        assert_eq!(run(b"C\x02ab.").unwrap(), "bytes 2+2");
        assert_eq!(run(b"B\x02\0\0\0ab.").unwrap(), "bytes 5+2");
        assert_eq!(run(b"\x8e\x02\0\0\0\0\0\0\0ab.").unwrap(), "bytes 9+2");
        assert_eq!(run(b"\x96\x02\0\0\0\0\0\0\0ab.").unwrap(), "bytes 9+2");
    }

    #[test]
    fn lengths_that_are_not_there_cost_nothing() {
        for pickle in [
            &b"X\xff\xff\xff\xffab."[..],
            b"\x8d\0\0\0\0\0\0\0@ab.",
            b"\x8e\xff\xff\xff\xff\xff\xff\xff\xffab.",
            b"\x8b\xff\xff\xff\x7f\x01.",
        ] {
            assert!(run(pickle).unwrap_err().contains("truncated"), "{pickle:?}");
        }
        assert!(run(b"X\x01\0\0\0\xff.").unwrap_err().contains("UTF-8"));
        let long = [b"\x8b\x01\x01\0\0", &[1; 257][..], b"."].concat();
        assert!(run(&long).unwrap_err().contains("257 bytes, more than the limit of 256"));
    }
}
