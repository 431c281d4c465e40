//! The draws of NumPy's legacy generator.

use rand_mt::Mt;

/// `numpy.random.RandomState(seed)`, as far as published metrics draw from it.
///
/// EDM and torch-fidelity choose images, subsets and orders with it; their numbers are reproduced only with the same
/// choices. Everything else in this workspace draws from [`diffusion_core::Noise`].
///
/// # Source
/// Matsumoto and Nishimura 1998, "Mersenne Twister" (MT19937); the bounded integers and the shuffle of NumPy's
/// `RandomState`, which are frozen by its compatibility policy.
///
/// # Example
/// ```
/// use metrics::NumpyRandom;
/// assert_eq!(NumpyRandom::new(0).permutation(10), [2, 8, 4, 9, 1, 6, 7, 3, 0, 5]);
/// ```
#[derive(Debug, Clone)]
pub struct NumpyRandom(Mt);

impl NumpyRandom {
    /// The generator after `RandomState(seed)`.
    pub fn new(seed: u32) -> Self {
        Self(Mt::new(seed))
    }

    /// `shuffle`: Fisher-Yates from the end.
    pub fn shuffle<T>(&mut self, values: &mut [T]) {
        for last in (1..values.len()).rev() {
            values.swap(last, self.at_most(last));
        }
    }

    /// `permutation(n)`: the indices `0..n`, shuffled.
    pub fn permutation(&mut self, n: i64) -> Vec<i64> {
        let mut order: Vec<i64> = (0..n).collect();
        self.shuffle(&mut order);
        order
    }

    /// `choice(n, count, replace=False)`: the first `count` of a permutation; all of it if there are not as many.
    pub fn choice(&mut self, n: i64, count: i64) -> Vec<i64> {
        let mut chosen = self.permutation(n);
        chosen.truncate(usize::try_from(count).unwrap_or(0));
        chosen
    }

    /// An integer in `0..=limit`, for a limit of at least 1: draws of as few bits as the limit has, until one is not above it.
    fn at_most(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).expect("an index has at most 64 bits");
        let mask = u64::MAX >> limit.leading_zeros();
        loop {
            let drawn = match u32::try_from(limit) {
                Ok(_) => u64::from(self.0.next_u32()),
                Err(_) => u64::from(self.0.next_u32()) << 32 | u64::from(self.0.next_u32()),
            };
            if drawn & mask <= limit {
                return (drawn & mask) as usize;
            }
        }
    }
}

/// The images that EDM's data-set reader keeps of `n` if it is told to keep `count`, in ascending order.
///
/// All of them unless there are more than `count`; else the first `count` of a permutation by [`NumpyRandom`].
///
/// # Source
/// NVlabs/edm `training/dataset.py`, `max_size` and `random_seed`.
///
/// # Example
/// ```
/// assert_eq!(metrics::edm_subset(10, 4, 0), [2, 4, 8, 9]);
/// assert_eq!(metrics::edm_subset(3, 4, 0), [0, 1, 2]);
/// ```
pub fn edm_subset(n: i64, count: i64, seed: u32) -> Vec<i64> {
    if n <= count {
        return (0..n).collect();
    }
    let mut kept = NumpyRandom::new(seed & 0x7fff_ffff).choice(n, count);
    kept.sort_unstable();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_continues() {
        // numpy.random.RandomState(2020): choice(7, 3, replace=False), then choice(5, 5, replace=False).
        let mut random = NumpyRandom::new(2020);
        assert_eq!(random.choice(7, 3), [5, 4, 1]);
        assert_eq!(random.choice(5, 9), [3, 2, 4, 1, 0]);
    }

    #[test]
    fn small_sets_are_left_alone() {
        let mut random = NumpyRandom::new(1);
        assert!(random.permutation(0).is_empty());
        assert_eq!(random.permutation(1), [0]);
        assert!(random.choice(4, -1).is_empty());
    }
}
