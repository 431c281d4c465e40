//! Batches of bytes in order.

use crate::fixtures::{folder, picture, png, rgb};
use datasets::{Error, Image, ImageSource, InMemory, InOrder, Info, OpenOptions, Result, open};
use std::sync::Arc;
use tch::Tensor;
use tempfile::tempdir;

/// Images of one pixel whose value is their number; `odd` panics.
struct Numbers {
    info: Info,
    odd: Option<usize>,
}

impl ImageSource for Numbers {
    fn info(&self) -> &Info {
        &self.info
    }

    fn image(&self, index: usize) -> Result<Image> {
        assert!(self.odd != Some(index), "image {index} is odd");
        Ok(Image { channels: 1, height: 1, width: 1, data: vec![index as u8] })
    }

    fn label(&self, _index: usize) -> Option<i64> {
        None
    }
}

fn numbers(len: usize, odd: Option<usize>) -> Arc<dyn ImageSource> {
    Arc::new(Numbers { info: Info { name: "n".into(), len, classes: 0, shape: (1, 1, 1) }, odd })
}

fn values(batch: &Tensor) -> Vec<i64> {
    Vec::try_from(batch.view(-1).to_kind(tch::Kind::Int64)).unwrap()
}

#[test]
fn any_number_of_threads_gives_the_chosen_images_in_order() {
    let indices: Vec<usize> = (0..200).filter(|index| index % 3 != 1).rev().collect();
    let expected: Vec<i64> = indices.iter().map(|&index| index as i64).collect();
    for (batch, threads) in [(1, 3), (7, 1), (7, 4), (500, 8)] {
        let batches = InOrder::new(numbers(200, None), indices.clone(), batch, threads).unwrap();
        let found: Vec<i64> = batches.flat_map(|batch| values(&batch.unwrap())).collect();
        assert_eq!(found, expected, "{batch} {threads}");
    }
    assert!(InOrder::new(numbers(3, None), vec![], 2, 2).unwrap().next().is_none());
    let zero = InOrder::new(numbers(3, None), vec![0], 0, 2);
    assert!(matches!(zero, Err(Error::ZeroBatch)));
}

#[test]
fn an_error_or_a_panic_ends_the_batches_where_it_is() {
    let mut batches = InOrder::new(numbers(50, Some(33)), (0..50).collect(), 4, 3).unwrap();
    for _ in 0..8 {
        assert!(batches.next().unwrap().is_ok());
    }
    let error = batches.next().unwrap().unwrap_err();
    assert!(matches!(&error, Error::Panicked(why) if why.contains("33 is odd")), "{error}");
    assert!(batches.next().is_none());
}

#[test]
fn images_of_other_sizes_and_colors_are_named() {
    for (odd, mixed_sizes) in [(picture(3, 5, 0), true), (picture(1, 4, 0), false)] {
        let dir = tempdir().unwrap();
        folder(dir.path(), &[("a.png", png(&rgb(1))), ("b.png", png(&odd))]);
        let options = OpenOptions { cache_bytes: 0, ..OpenOptions::default() };
        let source = open(dir.path(), &options).unwrap();
        let mut batches = InOrder::new(source, vec![0, 1], 2, 2).unwrap();
        match batches.next().unwrap().unwrap_err() {
            Error::MixedSizes { entry, .. } => assert!(mixed_sizes && entry == "b.png"),
            Error::MixedChannels { entry, .. } => assert!(!mixed_sizes && entry == "b.png"),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn dropping_it_early_ends_its_threads() {
    let source = InMemory::new("set", (1, 1, 1), vec![0; 10_000], None, 0).unwrap();
    let source: Arc<dyn ImageSource> = Arc::new(source);
    let mut batches = InOrder::new(Arc::clone(&source), (0..10_000).collect(), 10, 4).unwrap();
    let _ = batches.next().unwrap().unwrap();
    drop(batches); // would wait forever for a thread that did not end
    assert_eq!(Arc::strong_count(&source), 1);
}
