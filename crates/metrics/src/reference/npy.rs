//! NumPy's array files, as far as statistics need them.

use super::ReferenceProblem as Problem;
use diffusion_core::npy::Header;
use std::io::Read;
use tch::{Kind, Tensor};

/// The largest dimension that is read: a covariance of half a GiB.
const MAX_DIM: u64 = 8192;

/// Reads an array `name` of `axes` equal axes, `f64`, from an entry that states to have `length` bytes.
///
/// Nothing is allocated but what the shape needs, and the shape is checked before.
pub(super) fn read(
    name: &'static str,
    axes: usize,
    length: u64,
    entry: &mut impl Read,
) -> Result<Tensor, Problem> {
    let header = Header::read(entry).map_err(|_| Problem::NotArray { name })?;
    let Header { descr, fortran_order, shape, length: header_length } = header;
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

/// The bytes of an array file of `f64` values, as NumPy writes them.
pub(super) fn bytes(array: &Tensor) -> Result<Vec<u8>, tch::TchError> {
    let shape: Vec<u64> = array.size().iter().map(|&n| n as u64).collect();
    let values = Vec::<f64>::try_from(array.to_kind(Kind::Double).contiguous().view(-1))?;
    let mut bytes = Header::new("<f8", &shape).to_bytes();
    bytes.reserve_exact(8 * values.len());
    values.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_bytes(axes: usize, bytes: &[u8]) -> Result<Tensor, Problem> {
        read("x", axes, bytes.len() as u64, &mut &bytes[..])
    }

    fn array(descr: &str, fortran_order: bool, shape: &[u64], values: &[u8]) -> Vec<u8> {
        let header = Header { fortran_order, ..Header::new(descr, shape) };
        [&header.to_bytes(), values].concat()
    }

    #[test]
    fn arrays_survive() {
        for (axes, shape) in [(1, vec![3]), (2, vec![3, 3])] {
            let array = diffusion_core::Noise::new(1).normal_f64(&shape);
            assert_eq!(read_bytes(axes, &bytes(&array).unwrap()).unwrap(), array);
        }
    }

    #[test]
    fn single_precision_and_fortran_order_are_read() {
        let values: Vec<u8> = [1f32, 2.0, 3.0, 4.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let found = read_bytes(2, &array("<f4", true, &[2, 2], &values)).unwrap();
        assert_eq!(
            Vec::<f64>::try_from(found.contiguous().view(-1)).unwrap(),
            [1.0, 3.0, 2.0, 4.0]
        );
    }

    #[test]
    fn other_arrays_are_refused() {
        let refusal = |descr: &str, shape: &[u64]| {
            read_bytes(2, &array(descr, false, shape, &[0; 32])).unwrap_err()
        };
        for shape in [&[][..], &[2], &[2, 3], &[0, 0], &[9000, 9000], &[u64::MAX, 2]] {
            let problem = refusal("<f8", shape);
            assert!(matches!(problem, Problem::Shape { limit: 8192, .. }), "{shape:?}: {problem}");
        }
        for descr in ["|O", ">f8", "<i8", "<c16"] {
            let problem = refusal(descr, &[2, 2]);
            assert!(matches!(problem, Problem::Kind { found, .. } if found == descr));
        }
        let short = refusal("<f8", &[3, 3]);
        assert!(matches!(short, Problem::Length { found: 32, needed: 72, .. }), "{short}");
        let long = refusal("<f8", &[1, 1]);
        assert!(matches!(long, Problem::Length { found: 32, needed: 8, .. }), "{long}");
        let none = read_bytes(2, b"PK").unwrap_err();
        assert!(matches!(none, Problem::NotArray { name: "x" }));
    }
}
