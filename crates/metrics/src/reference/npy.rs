//! NumPy's array files, as far as statistics need them.

use super::ReferenceProblem as Problem;
use std::io::Read;
use tch::{Kind, Tensor};

/// The longest header that is read; that of a matrix has 118 bytes.
const MAX_HEADER: usize = 4096;
/// The largest dimension that is read: a covariance of half a GiB.
const MAX_DIM: u64 = 8192;
const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// What an array is.
#[derive(Debug, PartialEq)]
struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<u64>,
}

/// Reads an array `name` of `axes` equal axes, `f64`, from an entry that states to have `length` bytes.
///
/// Nothing is allocated but what the shape needs, and the shape is checked before.
pub(super) fn read(
    name: &'static str,
    axes: usize,
    length: u64,
    entry: &mut impl Read,
) -> Result<Tensor, Problem> {
    let (header, header_length) = read_header(name, entry)?;
    let Header { descr, fortran_order, shape } = header;
    let size: u64 = match descr.as_str() {
        "<f8" => 8,
        "<f4" => 4,
        _ => return Err(Problem::Kind { name, found: descr }),
    };
    let dim = shape.first().copied().unwrap_or(0);
    if shape.len() != axes || shape.iter().any(|&n| n != dim) || !(1..=MAX_DIM).contains(&dim) {
        return Err(Problem::Shape { name, found: shape, limit: MAX_DIM });
    }
    let needed = dim.pow(axes as u32) * size;
    let mut bytes = Vec::new();
    if length == header_length + needed {
        // One byte more, so that the end is reached and the checksum looked at.
        entry.take(needed + 1).read_to_end(&mut bytes)?;
    }
    let found = bytes.len() as u64;
    if found != needed {
        return Err(Problem::Length { name, found: length.saturating_sub(header_length), needed });
    }
    let values: Vec<f64> = match size {
        8 => bytes.as_chunks().0.iter().map(|&value| f64::from_le_bytes(value)).collect(),
        _ => bytes.as_chunks().0.iter().map(|&value| f32::from_le_bytes(value).into()).collect(),
    };
    let array = Tensor::from_slice(&values).view(&vec![dim as i64; axes][..]);
    Ok(if fortran_order && axes == 2 { array.tr().contiguous() } else { array })
}

/// The header and the number of bytes up to the first value.
fn read_header(name: &'static str, entry: &mut impl Read) -> Result<(Header, u64), Problem> {
    let mut start = [0; 8];
    entry.read_exact(&mut start).map_err(|_| Problem::NotArray { name })?;
    let wide = match (&start[..6] == MAGIC, start[6]) {
        (true, 1) => 2,
        (true, 2 | 3) => 4,
        _ => return Err(Problem::NotArray { name }),
    };
    let mut length = [0; 4];
    entry.read_exact(&mut length[..wide]).map_err(|_| Problem::NotArray { name })?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_HEADER {
        return Err(Problem::NotArray { name });
    }
    let mut text = vec![0; length];
    entry.read_exact(&mut text).map_err(|_| Problem::NotArray { name })?;
    let header =
        std::str::from_utf8(&text).ok().and_then(parse).ok_or(Problem::NotArray { name })?;
    Ok((header, (8 + wide + length) as u64))
}

/// The dictionary that NumPy writes: three entries in any order, nothing nested but the shape.
fn parse(text: &str) -> Option<Header> {
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
    Some(Header { descr: descr?, fortran_order: fortran_order?, shape: shape? })
}

/// The bytes of an array file of `f64` values, as NumPy writes them.
pub(super) fn bytes(array: &Tensor) -> Result<Vec<u8>, tch::TchError> {
    let shape: Vec<String> = array.size().iter().map(i64::to_string).collect();
    let comma = if shape.len() == 1 { "," } else { "" };
    let shape = shape.join(", ");
    let mut header =
        format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({shape}{comma}), }}");
    let unpadded = MAGIC.len() + 4 + header.len() + 1;
    header.extend(std::iter::repeat_n(' ', unpadded.next_multiple_of(64) - unpadded));
    header.push('\n');
    let values = Vec::<f64>::try_from(array.to_kind(Kind::Double).contiguous().view(-1))?;
    let mut bytes = Vec::with_capacity(10 + header.len() + 8 * values.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&[1, 0]);
    bytes.extend_from_slice(&(header.len() as u16).to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    values.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_bytes(axes: usize, bytes: &[u8]) -> Result<Tensor, Problem> {
        read("x", axes, bytes.len() as u64, &mut &bytes[..])
    }

    fn with_header(header: &str, values: &[u8]) -> Vec<u8> {
        let mut bytes = [&MAGIC[..], &[1, 0], &(header.len() as u16).to_le_bytes()].concat();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(values);
        bytes
    }

    #[test]
    fn arrays_survive_and_start_at_a_multiple_of_64() {
        for (axes, array) in [(1, vec![3]), (2, vec![3, 3])] {
            let array = diffusion_core::Noise::new(1).normal_f64(&array);
            let bytes = bytes(&array).unwrap();
            assert_eq!((bytes.len() - 8 * array.numel()) % 64, 0);
            assert_eq!(read_bytes(axes, &bytes).unwrap(), array);
        }
    }

    #[test]
    fn other_headers_of_numpy_are_read() {
        let header = "{'shape': (2, 2,),'fortran_order':True , 'descr': '<f4'}";
        let values: Vec<u8> = [1f32, 2.0, 3.0, 4.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let found = read_bytes(2, &with_header(header, &values)).unwrap();
        assert_eq!(
            Vec::<f64>::try_from(found.contiguous().view(-1)).unwrap(),
            [1.0, 3.0, 2.0, 4.0]
        );
    }

    #[test]
    fn hostile_headers_are_refused() {
        let entry = |descr: &str, shape: &str| {
            format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}")
        };
        let refusal = |header: &str| read_bytes(2, &with_header(header, &[0; 32])).unwrap_err();
        for shape in ["", "2,", "2, 3", "0, 0", "9000, 9000", "18446744073709551615, 2"] {
            let problem = refusal(&entry("<f8", shape));
            assert!(matches!(problem, Problem::Shape { limit: 8192, .. }), "{shape}: {problem}");
        }
        for descr in ["|O", ">f8", "<i8", "<c16"] {
            let problem = refusal(&entry(descr, "2, 2"));
            assert!(matches!(problem, Problem::Kind { found, .. } if found == descr));
        }
        let short = refusal(&entry("<f8", "3, 3"));
        assert!(matches!(short, Problem::Length { found: 32, needed: 72, .. }), "{short}");
        let long = refusal(&entry("<f8", "1, 1"));
        assert!(matches!(long, Problem::Length { found: 32, needed: 8, .. }), "{long}");
        let nested = "(".repeat(4000);
        for text in ["", "{", "{}", "{'descr': '<f8'}", "{'a': 1}", "{'shape': (-1, 2)}", &nested] {
            assert!(matches!(refusal(text), Problem::NotArray { name: "x" }), "{text}");
        }
        let huge = [&MAGIC[..], &[2, 0], &u32::MAX.to_le_bytes()].concat();
        assert!(matches!(read_bytes(2, &huge), Err(Problem::NotArray { .. })));
        for cut in 0..10 {
            assert!(matches!(read_bytes(2, &huge[..cut]), Err(Problem::NotArray { .. })));
        }
    }
}
