//! The bytes of a pickle, one after the other.

use super::Fault;
use crate::source::{Source, Span};

/// Bytes read ahead. Embedded storages are pickles of some hundred bytes each, hence no more.
const AHEAD: u64 = 8 << 10;

/// A reader of a range of a source that knows where it is, and takes no memory for lengths that a file merely claims.
#[derive(Debug)]
pub(crate) struct Input<'a> {
    source: &'a Source,
    ahead: Vec<u8>,
    used: usize,
    next: u64,
    end: u64,
}

impl<'a> Input<'a> {
    pub(crate) fn new(source: &'a Source, span: Span) -> Self {
        Self { source, ahead: Vec::new(), used: 0, next: span.start, end: span.end() }
    }

    pub(crate) fn source(&self) -> &'a Source {
        self.source
    }

    /// The place of the next byte in the source.
    pub(crate) fn position(&self) -> u64 {
        self.next - (self.ahead.len() - self.used) as u64
    }

    pub(super) fn left(&self) -> u64 {
        self.end.saturating_sub(self.position())
    }

    /// Whether `len` more bytes are there.
    pub(super) fn require(&self, len: u64) -> Result<(), Fault> {
        if len > self.left() { Err(Fault::Truncated) } else { Ok(()) }
    }

    pub(super) fn byte(&mut self) -> Result<u8, Fault> {
        if self.used == self.ahead.len() {
            let len = self.end.saturating_sub(self.next).min(AHEAD);
            self.ahead.resize(len as usize, 0);
            self.source.read_at(self.next, &mut self.ahead)?;
            (self.used, self.next) = (0, self.next + len);
        }
        let byte = *self.ahead.get(self.used).ok_or(Fault::Truncated)?;
        self.used += 1;
        Ok(byte)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        for byte in &mut bytes {
            *byte = self.byte()?;
        }
        Ok(bytes)
    }

    /// The next `len` bytes, if they are there and no more than `limit`.
    pub(super) fn take(
        &mut self,
        what: &'static str,
        len: u64,
        limit: u64,
    ) -> Result<Vec<u8>, Fault> {
        self.require(len)?;
        if len > limit {
            return Err(Fault::TooLong { what, len, limit });
        }
        let mut bytes = vec![0; len as usize];
        self.source.read_at(self.position(), &mut bytes)?;
        self.skip(len)?;
        Ok(bytes)
    }

    /// Passes over the next `len` bytes and says where they are.
    pub(crate) fn skip(&mut self, len: u64) -> Result<Span, Fault> {
        self.require(len)?;
        let span = Span { start: self.position(), len };
        let buffered = (self.ahead.len() - self.used) as u64;
        if len <= buffered {
            self.used += len as usize;
        } else {
            self.ahead.clear();
            (self.used, self.next) = (0, span.end());
        }
        Ok(span)
    }

    /// The text up to the end of the line.
    pub(super) fn line(&mut self) -> Result<String, Fault> {
        const LIMIT: usize = 1 << 10;
        let mut line = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => return String::from_utf8(line).map_err(|_| Fault::NotUtf8),
                _ if line.len() == LIMIT => {
                    let (what, len, limit) = ("a name", LIMIT as u64 + 1, LIMIT as u64);
                    return Err(Fault::TooLong { what, len, limit });
                }
                byte => line.push(byte),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::sync::Arc;

    #[test]
    fn the_position_survives_every_way_of_reading() {
        let bytes: Arc<[u8]> = (0..3 * AHEAD).map(|i| (i % 251) as u8).collect();
        let source = Source::memory(Path::new("x"), bytes);
        let mut input = Input::new(&source, Span { start: 10, len: 2 * AHEAD });
        assert_eq!((input.byte().unwrap(), input.position()), (10, 11));
        assert_eq!(input.skip(5).unwrap(), Span { start: 11, len: 5 });
        assert_eq!(input.take("x", 3, 3).unwrap(), [16, 17, 18]);
        assert_eq!(input.skip(AHEAD).unwrap().start, 19);
        assert_eq!(u64::from(input.byte().unwrap()), (19 + AHEAD) % 251);
        assert!(matches!(input.skip(AHEAD), Err(Fault::Truncated)));
        assert!(matches!(input.take("x", 4, 3), Err(Fault::TooLong { .. })));
        assert!(matches!(input.take("x", u64::MAX, 3), Err(Fault::Truncated)));
        input.skip(input.left()).unwrap();
        assert!(matches!(input.byte(), Err(Fault::Truncated)));
    }

    #[test]
    fn a_line_ends() {
        let source = Source::memory(Path::new("x"), Arc::from(*b"os\nsystem"));
        let mut input = Input::new(&source, source.span());
        assert_eq!(input.line().unwrap(), "os");
        assert!(matches!(input.line(), Err(Fault::Truncated)));
        let endless = Source::memory(Path::new("x"), vec![b'x'; 5000].into());
        let line = Input::new(&endless, endless.span()).line();
        assert!(matches!(line, Err(Fault::TooLong { .. })));
    }
}
