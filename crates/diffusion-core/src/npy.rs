//! Headers of NumPy's array files.

use std::io::{self, ErrorKind, Read};

/// The longest header that is read; that of a matrix has 118 bytes.
const MAX_HEADER: usize = 4096;
const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// What an array in a `.npy` file, or an entry of a `.npz` archive, is.
///
/// Only what plain arrays need is read: structured types and whatever else would have to be evaluated are refused, and so are
/// headers of more than 4,096 bytes. Nothing is allocated for values; check the shape before you do.
///
/// # Source
/// NumPy's `numpy.lib.format`, versions 1, 2 and 3.
///
/// # Example
/// ```
/// use diffusion_core::npy::Header;
/// let header = Header::new("<f8", &[3, 2]);
/// let bytes = header.to_bytes();
/// assert_eq!(Header::read(&mut &bytes[..]).unwrap(), header);
/// assert_eq!((header.values(), bytes.len() as u64), (Some(6), header.length));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// NumPy's name of the type: `<f8`, `|u1`.
    pub descr: String,
    /// Whether the first axis varies fastest.
    pub fortran_order: bool,
    /// The length of each axis.
    pub shape: Vec<u64>,
    /// Bytes before the first value.
    pub length: u64,
}

impl Header {
    /// The header of an array in C order, as NumPy writes it: values start at a multiple of 64 bytes.
    pub fn new(descr: &str, shape: &[u64]) -> Self {
        let mut header =
            Self { descr: descr.into(), fortran_order: false, shape: shape.into(), length: 0 };
        header.length = header.to_bytes().len() as u64;
        header
    }

    /// Reads a header, and nothing behind it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidData`] for what is no header of version 1, 2 or 3; what `reader` fails with.
    pub fn read(reader: &mut impl Read) -> io::Result<Self> {
        let mut start = [0; 8];
        reader.read_exact(&mut start)?;
        let wide = match (&start[..6] == MAGIC, start[6]) {
            (true, 1) => 2,
            (true, 2 | 3) => 4,
            _ => return Err(not_an_array()),
        };
        let mut length = [0; 4];
        reader.read_exact(&mut length[..wide])?;
        let length = u32::from_le_bytes(length) as usize;
        if length > MAX_HEADER {
            return Err(not_an_array());
        }
        let mut text = vec![0; length];
        reader.read_exact(&mut text)?;
        let text = std::str::from_utf8(&text).map_err(|_| not_an_array())?;
        parse(text, (8 + wide + length) as u64).ok_or_else(not_an_array)
    }

    /// How many values the shape has; `None` if that is no number of 64 bits.
    pub fn values(&self) -> Option<u64> {
        self.shape.iter().try_fold(1u64, |product, &axis| product.checked_mul(axis))
    }

    /// The bytes of the header, version 1.
    pub fn to_bytes(&self) -> Vec<u8> {
        let shape: Vec<String> = self.shape.iter().map(u64::to_string).collect();
        let comma = if shape.len() == 1 { "," } else { "" };
        let order = if self.fortran_order { "True" } else { "False" };
        let (descr, shape) = (&self.descr, shape.join(", "));
        let mut text = format!(
            "{{'descr': '{descr}', 'fortran_order': {order}, 'shape': ({shape}{comma}), }}"
        );
        let unpadded = MAGIC.len() + 4 + text.len() + 1;
        text.extend(std::iter::repeat_n(' ', unpadded.next_multiple_of(64) - unpadded));
        text.push('\n');
        [&MAGIC[..], &[1, 0], &(text.len() as u16).to_le_bytes(), text.as_bytes()].concat()
    }
}

fn not_an_array() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "not a NumPy array of version 1, 2 or 3")
}

/// The dictionary that NumPy writes: three entries in any order, nothing nested but the shape.
fn parse(text: &str, length: u64) -> Option<Header> {
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
    while !rest.is_empty() {
        let (key, value) = rest.strip_prefix('\'')?.split_once("':")?;
        let value = value.trim_start();
        let after = match key {
            "descr" => {
                let (found, after) = value.strip_prefix('\'')?.split_once('\'')?;
                descr = Some(found.to_owned());
                after
            }
            "fortran_order" => {
                let is_true = value.starts_with("True");
                fortran_order = Some(is_true);
                value.strip_prefix(if is_true { "True" } else { "False" })?
            }
            "shape" => {
                let (found, after) = value.strip_prefix('(')?.split_once(')')?;
                let axes = found.split(',').map(str::trim).filter(|axis| !axis.is_empty());
                shape = Some(axes.map(|axis| axis.parse().ok()).collect::<Option<Vec<u64>>>()?);
                after
            }
            _ => return None,
        };
        rest = after.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    Some(Header { descr: descr?, fortran_order: fortran_order?, shape: shape?, length })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_text(version: u8, text: &str) -> Vec<u8> {
        let length = (text.len() as u32).to_le_bytes();
        let length = if version == 1 { &length[..2] } else { &length };
        [&MAGIC[..], &[version, 0], length, text.as_bytes()].concat()
    }

    #[test]
    fn headers_survive_and_values_start_at_a_multiple_of_64() {
        for shape in [&[][..], &[3], &[3, 2], &[50_000, 256, 256, 3]] {
            let header = Header::new("|u1", shape);
            let bytes = header.to_bytes();
            assert_eq!((header.length % 64, header.length), (0, bytes.len() as u64));
            assert_eq!(Header::read(&mut &bytes[..]).unwrap(), header);
        }
    }

    #[test]
    fn other_headers_of_numpy_are_read() {
        let text = "{'shape': (2, 5,),'fortran_order':True , 'descr': '<f4'}";
        for (version, length) in [(1, 10 + text.len()), (2, 12 + text.len()), (3, 12 + text.len())]
        {
            let found = Header::read(&mut &with_text(version, text)[..]).unwrap();
            let shape = vec![2, 5];
            let (descr, length) = ("<f4".into(), length as u64);
            assert_eq!(found, Header { descr, fortran_order: true, shape, length });
        }
    }

    #[test]
    fn hostile_headers_are_refused() {
        let nested = "(".repeat(4000);
        for text in ["", "{", "{}", "{'descr': '<f8'}", "{'a': 1}", "{'shape': (-1, 2)}", &nested] {
            let error = Header::read(&mut &with_text(1, text)[..]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{text}");
        }
        let huge = [&MAGIC[..], &[2, 0], &u32::MAX.to_le_bytes()].concat();
        assert_eq!(Header::read(&mut &huge[..]).unwrap_err().kind(), ErrorKind::InvalidData);
        for cut in 0..10 {
            assert!(Header::read(&mut &huge[..cut]).is_err());
        }
        assert_eq!(Header::new("|u1", &[u64::MAX, 2]).values(), None);
    }
}
