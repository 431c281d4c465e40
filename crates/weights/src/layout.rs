//! Where the elements of a tensor lie in its storage.

use crate::Fault;
use crate::source::{Source, Span};
use std::io;

/// Bytes of a tensor that repeats elements of its storage; others never have more than the storage.
const MOST_EXPANDED: u64 = 16 << 20;

/// Sizes, strides and offset of a tensor in its storage, all in elements, checked against the storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    size: Box<[usize]>,
    stride: Box<[usize]>,
    offset: usize,
}

impl Layout {
    /// A tensor without gaps, elements in row-major order, whose size the caller has checked.
    pub(crate) fn contiguous(size: Vec<usize>) -> Self {
        let stride = row_major(&size).into();
        Self { size: size.into(), stride, offset: 0 }
    }

    /// A view of a storage of `numel` elements of `item` bytes.
    pub(crate) fn new(
        offset: i64,
        size: Vec<i64>,
        stride: Vec<i64>,
        numel: u64,
        item: usize,
    ) -> Result<Self, Fault> {
        let unsigned = |values: &[i64]| -> Option<Box<[usize]>> {
            values.iter().map(|&value| usize::try_from(value).ok()).collect()
        };
        let checked = usize::try_from(offset).ok().zip(unsigned(&size).zip(unsigned(&stride)));
        let Some((start, (sizes, strides))) = checked.filter(|_| size.len() == stride.len()) else {
            return Err(Fault::Shape { size, stride });
        };
        let layout = Self { size: sizes, stride: strides, offset: start };
        let Some(bytes) = layout.numel().and_then(|n| n.checked_mul(item)) else {
            return Err(Fault::Shape { size, stride });
        };
        if bytes > 0 && layout.end().is_none_or(|end| end as u64 > numel) {
            return Err(Fault::PastStorage { size, stride, offset, numel });
        }
        if bytes as u64 > MOST_EXPANDED.max(numel.saturating_mul(item as u64)) {
            return Err(Fault::Expanded { size, numel });
        }
        Ok(layout)
    }

    /// Elements along each axis.
    pub(crate) fn shape(&self) -> &[usize] {
        &self.size
    }

    /// How many elements; none if that overflows.
    fn numel(&self) -> Option<usize> {
        if self.size.contains(&0) {
            return Some(0);
        }
        self.size.iter().try_fold(1usize, |n, &size| n.checked_mul(size))
    }

    /// Behind the last element that is used, for tensors with elements.
    fn end(&self) -> Option<usize> {
        let mut axes = self.size.iter().zip(&self.stride);
        let last = axes.try_fold(self.offset, |last, (size, stride)| {
            last.checked_add((size - 1).checked_mul(*stride)?)
        });
        last?.checked_add(1)
    }

    fn is_contiguous(&self) -> bool {
        let expected = row_major(&self.size);
        let mut axes = self.size.iter().zip(&self.stride).zip(expected);
        axes.all(|((size, stride), expected)| *size == 1 || *stride == expected)
    }

    /// Fills `buffer` with the elements in row-major order.
    ///
    /// A tensor without gaps is read straight into the buffer. Any other needs memory for the part of the storage that
    /// lies between its first and its last element.
    pub(crate) fn read(
        &self,
        source: &Source,
        storage: Span,
        item: usize,
        buffer: &mut [u8],
    ) -> io::Result<()> {
        if buffer.is_empty() {
            return Ok(());
        }
        let start = storage.start + (self.offset * item) as u64;
        if self.is_contiguous() {
            return source.read_at(start, buffer);
        }
        let used = self.end().unwrap_or(self.offset) - self.offset;
        let mut part = vec![0; used * item];
        source.read_at(start, &mut part)?;
        match item {
            1 => self.gather::<1>(&part, buffer),
            2 => self.gather::<2>(&part, buffer),
            4 => self.gather::<4>(&part, buffer),
            _ => self.gather::<8>(&part, buffer),
        }
        Ok(())
    }

    /// Copies the elements of `N` bytes one by one; the last axis is the inner loop.
    fn gather<const N: usize>(&self, part: &[u8], buffer: &mut [u8]) {
        let (part, _) = part.as_chunks::<N>();
        let (elements, _) = buffer.as_chunks_mut::<N>();
        let (inner, step) = (*self.size.last().unwrap_or(&1), *self.stride.last().unwrap_or(&0));
        let mut index = vec![0; self.size.len().saturating_sub(1)];
        for row in elements.chunks_mut(inner) {
            let start: usize = index.iter().zip(&self.stride).map(|(i, stride)| i * stride).sum();
            for (i, element) in row.iter_mut().enumerate() {
                *element = part[start + i * step];
            }
            advance(&mut index, &self.size);
        }
    }
}

/// Strides of a tensor without gaps. Sizes whose product overflows are never read.
fn row_major(size: &[usize]) -> Vec<usize> {
    let mut stride = vec![1usize; size.len()];
    for axis in (1..size.len()).rev() {
        stride[axis - 1] = stride[axis].saturating_mul(size[axis]);
    }
    stride
}

/// Counts up an index over the leading axes, the last of them fastest.
fn advance(index: &mut [usize], size: &[usize]) {
    for axis in (0..index.len()).rev() {
        index[axis] += 1;
        if index[axis] < size[axis] {
            return;
        }
        index[axis] = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::sync::Arc;

    fn read(offset: i64, size: &[i64], stride: &[i64]) -> Vec<u8> {
        let bytes: Arc<[u8]> = (0..24).collect();
        let source = Source::memory(Path::new("x"), bytes);
        let layout = Layout::new(offset, size.into(), stride.into(), 24, 1).unwrap();
        let mut buffer = vec![0; layout.numel().unwrap()];
        layout.read(&source, source.span(), 1, &mut buffer).unwrap();
        buffer
    }

    #[test]
    fn elements_come_in_row_major_order() {
        assert_eq!(read(2, &[2, 3], &[3, 1]), [2, 3, 4, 5, 6, 7]);
        assert_eq!(read(0, &[3, 2], &[1, 3]), [0, 3, 1, 4, 2, 5]); // transposed
        assert_eq!(read(1, &[2, 2], &[6, 2]), [1, 3, 7, 9]); // steps
        assert_eq!(read(4, &[2, 3], &[0, 1]), [4, 5, 6, 4, 5, 6]); // expanded
        assert_eq!(read(0, &[3, 2], &[1, 1]), [0, 1, 1, 2, 2, 3]); // overlapping
        assert_eq!(read(0, &[2, 2, 2], &[1, 2, 4]), [0, 4, 2, 6, 1, 5, 3, 7]);
        assert_eq!(read(23, &[], &[]), [23]);
        assert_eq!(read(5, &[1, 2], &[99, 1]), [5, 6]); // the stride of one element is of no interest
        assert_eq!(read(0, &[0, 6], &[6, 1]), [] as [u8; 0]);
    }

    #[test]
    fn a_layout_stays_inside_of_its_storage() {
        let new = |offset, size: &[i64], stride: &[i64]| {
            Layout::new(offset, size.into(), stride.into(), 24, 4).map(|_| ())
        };
        assert!(new(0, &[4, 6], &[6, 1]).is_ok());
        assert!(matches!(new(1, &[4, 6], &[6, 1]), Err(Fault::PastStorage { .. })));
        assert!(matches!(new(0, &[2], &[i64::MAX]), Err(Fault::PastStorage { .. })));
        assert!(matches!(new(0, &[-1], &[1]), Err(Fault::Shape { .. })));
        assert!(matches!(new(-1, &[1], &[1]), Err(Fault::Shape { .. })));
        assert!(matches!(new(0, &[2], &[-1]), Err(Fault::Shape { .. })));
        assert!(matches!(new(0, &[2, 3], &[1]), Err(Fault::Shape { .. })));
        assert!(matches!(new(0, &[1 << 40, 1 << 40], &[0, 0]), Err(Fault::Shape { .. })));
        assert!(matches!(new(0, &[1 << 40], &[0]), Err(Fault::Expanded { .. })));
        assert!(new(0, &[1 << 22], &[0]).is_ok()); // exactly 16 MiB
        assert!(new(i64::MAX, &[0, i64::MAX], &[1, 1]).is_ok());
    }
}
