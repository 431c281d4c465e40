//! Which image comes when.

use diffusion_core::{Noise, NoiseState};

/// A place in the endless sequence of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cursor {
    /// How many times all images were seen.
    pub(crate) epoch: u64,
    /// How many images of this epoch were seen; always less than there are.
    pub(crate) position: usize,
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

    /// `count` images from `cursor` on, and the place after them. Runs over the end of an epoch into the next one.
    pub(crate) fn take(&mut self, mut cursor: Cursor, count: usize) -> (Vec<Pick>, Cursor) {
        let mut picks = Vec::with_capacity(count);
        while picks.len() < count {
            let rest = &self.epoch(cursor.epoch)[cursor.position..];
            let taken = rest.len().min(count - picks.len());
            picks.extend_from_slice(&rest[..taken]);
            cursor.position += taken;
            if cursor.position == self.len {
                cursor = Cursor { epoch: cursor.epoch + 1, position: 0 };
            }
        }
        (picks, cursor)
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
        order.take(cursor, count).0.iter().map(|pick| pick.index).collect()
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
        let (whole, end) = order.take(Cursor::default(), 35);
        let (mut cut, mut cursor) = (Vec::new(), Cursor::default());
        for count in [1, 9, 14, 11] {
            let (picks, after) = order.take(cursor, count);
            cut.extend(picks);
            cursor = after;
        }
        assert_eq!((cut, cursor), (whole, end));
        assert_eq!(end, Cursor { epoch: 3, position: 5 });
    }

    #[test]
    fn about_half_of_the_images_are_flipped() {
        let flipped = Order::new(4, 1000).with_flip(true).take(Cursor::default(), 1000).0;
        let count = flipped.iter().filter(|pick| pick.flip).count();
        assert!((420..580).contains(&count), "{count} of 1000 are flipped");
    }
}
