//! What the loader promises.

use datasets::{Error, Image, ImageSource, InMemory, Info, Loader, Result, Shapes};
use diffusion_core::{Batch, BatchSource};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// 37 images of one row of two pixels: the index, and 0.
fn numbered() -> Arc<dyn ImageSource> {
    let pixels = (0..37).flat_map(|i| [i, 0]).collect();
    Arc::new(
        InMemory::new("numbered", (1, 1, 2), pixels, Some((0..37).map(|i| i % 3).collect()), 3)
            .unwrap(),
    )
}

/// The indices of the images of a batch of [`numbered`] (negative if flipped; image 0 looks the same).
fn seen(batch: &Batch) -> Vec<i64> {
    let pixels = Vec::<f32>::try_from(batch.images.flatten(0, -1)).unwrap();
    let value = |x: f32| ((x + 1.0) * 127.5).round() as i64;
    pixels.chunks(2).map(|row| value(row[0]) - value(row[1])).collect()
}

fn run(loader: &mut Loader, sizes: &[usize]) -> Vec<i64> {
    sizes.iter().flat_map(|&size| seen(&loader.next_batch(size).unwrap())).collect()
}

#[test]
fn an_epoch_shows_each_image_once_with_its_label() {
    let mut loader = Loader::new(numbered(), 1).unwrap();
    let mut all = BTreeSet::new();
    for size in [10, 10, 10, 7] {
        let batch = loader.next_batch(size).unwrap();
        let classes =
            Vec::<i64>::try_from(batch.cond.labels.as_ref().unwrap().argmax(1, false)).unwrap();
        for (index, class) in seen(&batch).into_iter().zip(classes) {
            assert_eq!(class, index % 3);
            assert!(all.insert(index), "image {index} came twice");
        }
    }
    assert_eq!(all, (0..37).collect());
}

#[test]
fn the_sequence_depends_on_the_seed_alone() {
    let sequence = |seed, depth, sizes: &[usize]| {
        run(&mut Loader::new(numbered(), seed).unwrap().with_flip(true).with_prefetch(depth), sizes)
    };
    let expected = sequence(5, 0, &[80]);
    for depth in [0, 1, 4] {
        assert_eq!(sequence(5, depth, &[16; 5]), expected);
        assert_eq!(sequence(5, depth, &[16, 16, 3, 5, 24, 16]), expected); // other batch sizes rewind
    }
    assert_ne!(sequence(6, 2, &[80]), expected);
}

#[test]
fn flips_are_drawn_anew_in_every_epoch_and_only_if_asked_for() {
    assert!(run(&mut Loader::new(numbered(), 2).unwrap(), &[74]).iter().all(|&index| index >= 0));
    let flipped = run(&mut Loader::new(numbered(), 2).unwrap().with_flip(true), &[74]);
    let negative =
        |epoch: &[i64]| epoch.iter().filter(|&&i| i < 0).map(|i| -i).collect::<BTreeSet<_>>();
    assert!((8..30).contains(&negative(&flipped[..37]).len()));
    assert_ne!(negative(&flipped[..37]), negative(&flipped[37..]));
}

#[test]
fn a_restored_loader_continues_after_the_last_batch_delivered() {
    let new = || Loader::new(numbered(), 3).unwrap().with_flip(true).with_prefetch(3);
    let mut loader = new();
    run(&mut loader, &[10; 5]); // in the second epoch, three more batches prefetched
    std::thread::sleep(Duration::from_millis(50));
    let state = loader.state();
    let expected = run(&mut loader, &[10; 8]);

    let mut fresh = new();
    fresh.restore(&state).unwrap();
    assert_eq!(run(&mut fresh, &[10; 8]), expected);
    loader.restore(&state).unwrap(); // back in the same loader, with batches under way
    assert_eq!(run(&mut loader, &[10; 8]), expected);
}

#[test]
fn loaders_that_share_the_work_deliver_the_batch_of_one() {
    let sizes = [10; 8]; // over the ends of two epochs
    let whole = run(&mut Loader::new(numbered(), 3).unwrap().with_flip(true), &sizes);
    for depth in [0, 2] {
        let new = || Loader::new(numbered(), 3).unwrap().with_flip(true).with_prefetch(depth);
        let (mut first, mut second) = (new(), new());
        let mut together = Vec::new();
        for size in sizes {
            together.extend(seen(&first.next_part(size, 0..5).unwrap()));
            together.extend(seen(&second.next_part(size, 5..size).unwrap()));
        }
        assert_eq!(together, whole);
        assert_eq!(first.state().values, second.state().values);
    }
}

#[test]
fn a_state_of_another_run_is_refused() {
    let state = Loader::new(numbered(), 3).unwrap().state();
    let message = |loader: Result<Loader>| {
        let error = loader.unwrap().restore(&state).unwrap_err();
        error.to_string()
    };
    assert!(message(Loader::new(numbered(), 4)).contains("seed 3, this one has 4"));
    assert!(
        message(Loader::new(Arc::new(Shapes::new(8, 36, 0)), 3))
            .contains("length 37, this one has 36")
    );
    assert!(
        message(Loader::new(numbered(), 3).map(|loader| loader.with_flip(true))).contains("flip")
    );
    let mut outside = Loader::new(numbered(), 3).unwrap().state();
    outside.set("position", 37);
    assert!(Loader::new(numbered(), 3).unwrap().restore(&outside).is_err());
    assert!(
        Loader::new(numbered(), 3).unwrap().restore(&diffusion_core::State::default()).is_err()
    );
}

#[test]
fn nothing_to_load_is_an_error() {
    let empty = InMemory::new("void", (1, 1, 1), vec![], None, 0).unwrap();
    assert!(
        matches!(Loader::new(Arc::new(empty), 0), Err(Error::NoImages(name)) if name == "void")
    );
    assert!(Loader::new(numbered(), 0).unwrap().next_batch(0).is_err());
}

/// A data set whose image number 20 fails, and that counts how many images were asked for.
struct Failing {
    info: Info,
    panics: bool,
    wait: Duration,
    reads: AtomicUsize,
}

impl Failing {
    fn new(panics: bool, wait: Duration) -> Arc<Self> {
        let info = Info { name: "failing".into(), len: 21, classes: 0, shape: (1, 1, 1) };
        Arc::new(Self { info, panics, wait, reads: AtomicUsize::new(0) })
    }
}

impl ImageSource for Failing {
    fn info(&self) -> &Info {
        &self.info
    }

    fn image(&self, index: usize) -> Result<Image> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(self.wait);
        if index < 20 {
            return Ok(Image { channels: 1, height: 1, width: 1, data: vec![0] });
        }
        assert!(!self.panics, "image {index} made me panic");
        Err(Error::TruncatedJpeg("image 20".into()))
    }

    fn label(&self, _: usize) -> Option<i64> {
        None
    }
}

#[test]
fn an_error_or_a_panic_in_the_thread_is_the_error_of_its_batch() {
    for (panics, message) in [(false, "image 20 is truncated"), (true, "image 20 made me panic")] {
        for depth in [0, 2] {
            let source = Failing::new(panics, Duration::ZERO);
            let mut loader = Loader::new(source, 0).unwrap().with_prefetch(depth);
            let mut batches = 0;
            let error = loop {
                match loader.next_batch(1) {
                    Ok(_) => batches += 1,
                    Err(error) => break error,
                }
            };
            assert!(batches < 21);
            assert!(error.to_string().contains(message), "{error}");
            let state = loader.state();
            assert_eq!(state.get::<usize>("position").unwrap(), batches);
            assert!(loader.next_batch(1).is_err(), "the bad image was skipped");
        }
    }
}

#[test]
fn a_dropped_loader_stops_reading_at_once_and_prefetch_is_bounded() {
    let source = Failing::new(false, Duration::from_millis(20));
    let mut loader = Loader::new(source.clone(), 0).unwrap().with_prefetch(1);
    assert!(loader.next_batch(1).is_ok());
    std::thread::sleep(Duration::from_millis(200));
    let reads = source.reads.load(Ordering::SeqCst);
    assert!(reads <= 4, "{reads} images read for 1 batch delivered, 1 in the channel, 1 in hand");
    drop(loader);

    let mut loader = Loader::new(source.clone(), 0).unwrap();
    let started = Instant::now();
    assert!(loader.next_batch(1).is_ok());
    drop(loader); // in the middle of another batch
    assert!(started.elapsed() < Duration::from_millis(800));
    let reads = source.reads.load(Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(60));
    assert_eq!(source.reads.load(Ordering::SeqCst), reads, "the thread went on");
}
