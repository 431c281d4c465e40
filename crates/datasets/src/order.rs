//! Which image comes when.

use diffusion_core::{Noise, NoiseState};
use std::ops::Range;

/// A place in the endless sequence of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cursor {
    /// How many times all images were seen.
    pub(crate) epoch: u64,
    /// How many images of this epoch were seen; always less than there are.
    pub(crate) position: usize,
}

/// What is asked of a source: of every `size` images in a row, those in `part`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Portion {
    pub(crate) size: usize,
    pub(crate) part: Range<usize>,
}

/// An image to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pick {
    pub(crate) index: usize,
    pub(crate) flip: bool,
}

/// The endless sequence: every epoch a new random order of all images.
///
/// Epoch `e` is draw `e` of two noise streams (order and flips), so every place can be computed without the ones
/// before it.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) seed: u64,
    pub(crate) len: usize,
    pub(crate) flip: bool,
    /// The epoch last computed.
    epoch: Option<(u64, Vec<Pick>)>,
}

impl Order {
    pub(crate) fn new(seed: u64, len: usize) -> Self {
        Self { seed, len, flip: false, epoch: None }
    }

    /// The same order with or without random flips.
    pub(crate) fn with_flip(self, flip: bool) -> Self {
        Self { flip, epoch: None, ..self }
    }

    /// The part of the next images from `cursor` on, and the place after all of them. Runs over the end of an epoch into
    /// the next one.
    pub(crate) fn take(&mut self, cursor: Cursor, portion: &Portion) -> (Vec<Pick>, Cursor) {
        let from = self.after(cursor, portion.part.start);
        (self.picks(from, portion.part.len()), self.after(cursor, portion.size))
    }

    /// The place `count` images after `cursor`.
    fn after(&self, cursor: Cursor, count: usize) -> Cursor {
        let position = cursor.position + count;
        Cursor { epoch: cursor.epoch + (position / self.len) as u64, position: position % self.len }
    }

    /// `count` images from `cursor` on.
    fn picks(&mut self, mut cursor: Cursor, count: usize) -> Vec<Pick> {
        let mut picks = Vec::with_capacity(count);
        while picks.len() < count {
            let rest = &self.epoch(cursor.epoch)[cursor.position..];
            let taken = rest.len().min(count - picks.len());
            picks.extend_from_slice(&rest[..taken]);
            cursor = self.after(cursor, taken);
        }
        picks
    }

    fn epoch(&mut self, epoch: u64) -> &[Pick] {
        if self.epoch.as_ref().is_none_or(|(known, _)| *known != epoch) {
            self.epoch = Some((epoch, self.draw(epoch)));
        }
        self.epoch.as_ref().map_or(&[], |(_, picks)| picks)
    }

    fn draw(&self, epoch: u64) -> Vec<Pick> {
        let stream = |label| {
            let start = Noise::new(self.seed).stream(label).state();
            Noise::from_state(NoiseState { draw: epoch, ..start })
        };
        let order = stream("order").permutation(self.len);
        let flips =
            if self.flip { stream("flip").integers(self.len, 2) } else { vec![0; self.len] };
        order.into_iter().zip(flips).map(|(index, flip)| Pick { index, flip: flip == 1 }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indices(order: &mut Order, cursor: Cursor, count: usize) -> Vec<usize> {
        order.take(cursor, &whole(count)).0.iter().map(|pick| pick.index).collect()
    }

    fn whole(size: usize) -> Portion {
        Portion { size, part: 0..size }
    }

    #[test]
    fn an_epoch_holds_every_image_once_and_the_next_another_order() {
        let mut order = Order::new(4, 37);
        let all = indices(&mut order, Cursor::default(), 74);
        let (mut first, mut second) = (all[..37].to_vec(), all[37..].to_vec());
        assert_ne!(first, second);
        first.sort_unstable();
        second.sort_unstable();
        assert_eq!(first, (0..37).collect::<Vec<_>>());
        assert_eq!(first, second);
    }

    #[test]
    fn the_sequence_does_not_depend_on_how_it_is_cut() {
        let mut order = Order::new(4, 10).with_flip(true);
        let (uncut, end) = order.take(Cursor::default(), &whole(35));
        let (mut cut, mut cursor) = (Vec::new(), Cursor::default());
        for count in [1, 9, 14, 11] {
            let (picks, after) = order.take(cursor, &whole(count));
            cut.extend(picks);
            cursor = after;
        }
        assert_eq!((cut, cursor), (uncut, end));
        assert_eq!(end, Cursor { epoch: 3, position: 5 });
    }

    #[test]
    fn the_parts_together_are_the_whole_in_order() {
        let mut order = Order::new(4, 10).with_flip(true);
        let start = Cursor { epoch: 2, position: 7 };
        let (all, end) = order.take(start, &whole(24));
        let parts = [0..8, 8..16, 16..24].map(|part| {
            let (picks, after) = order.take(start, &Portion { size: 24, part });
            assert_eq!(after, end);
            picks
        });
        assert_eq!(parts.concat(), all);
    }

    #[test]
    fn about_half_of_the_images_are_flipped() {
        let flipped = Order::new(4, 1000).with_flip(true).take(Cursor::default(), &whole(1000)).0;
        let count = flipped.iter().filter(|pick| pick.flip).count();
        assert!((420..580).contains(&count), "{count} of 1000 are flipped");
    }
}
