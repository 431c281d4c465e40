//! Laws of all distances, on features of any size, scale and degeneracy.

use diffusion_core::Noise;
use metrics::{
    Boundary, Divisor, Error, GaussianStats, InceptionScore, Order, ScoreSplits, SetStatistic,
    frechet_distance, polynomial_mmd, random_directions, sliced_wasserstein,
};
use proptest::prelude::*;
use tch::{Kind, Tensor};

/// Two sets of features of the same length, `f64`.
#[derive(Debug)]
struct Pair {
    a: Tensor,
    b: Tensor,
    seed: u64,
}

/// Sets that may have fewer rows than columns, columns without spread, repeated rows, and any scale.
fn pairs() -> impl Strategy<Value = Pair> {
    (any::<u64>(), 8i64..50, 8i64..50, 1i64..24, -3i32..4, 0u8..4).prop_map(
        |(seed, n, m, dim, scale, kind)| {
            let mut noise = Noise::new(seed);
            let mut set = |rows: i64| {
                let set = noise.normal_f64(&[rows, dim]) * 10f64.powi(scale);
                match kind {
                    1 => set.narrow(1, 0, 1).expand([rows, dim], false).contiguous(),
                    2 => set.narrow(0, 0, rows / 2).repeat([2, 1]),
                    _ => set,
                }
            };
            let (a, b) = (set(n), set(m) * 0.8);
            Pair { a, b, seed }
        },
    )
}

fn shuffled(set: &Tensor, seed: u64) -> Tensor {
    let order = Noise::new(seed).permutation(set.size()[0] as usize);
    let order: Vec<i64> = order.into_iter().map(|row| row as i64).collect();
    set.index_select(0, &Tensor::from_slice(&order))
}

/// The mean squared length of a row of both: the scale of a squared distance's error. Roots of eigenvalues that should be 0
/// leave some 1e-8 of it each.
fn power(Pair { a, b, .. }: &Pair) -> f64 {
    let both = Tensor::cat(&[a, b], 0);
    both.square().sum(Kind::Double).double_value(&[]) / both.size()[0] as f64
}

fn frechet(a: &Tensor, b: &Tensor) -> f64 {
    frechet_distance(&GaussianStats::of(a).unwrap(), &GaussianStats::of(b).unwrap()).unwrap()
}

fn value(statistic: SetStatistic, real: &Tensor, others: &Tensor) -> f64 {
    statistic.of(real, others, Divisor::Sample).unwrap()
}

/// Those that see a set as a whole, without subsets.
fn symmetric() -> [fn(&Tensor, &Tensor) -> f64; 4] {
    [
        frechet,
        |a, b| polynomial_mmd(a, b).unwrap(),
        |a, b| value(SetStatistic::Cmmd, a, b),
        |a, b| {
            let directions = random_directions(16, a.size()[1], &mut Noise::new(5));
            sliced_wasserstein(a, b, &directions, Order::One).unwrap()
        },
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_set_is_at_no_distance_from_itself_in_any_order(pair in pairs()) {
        let again = shuffled(&pair.a, pair.seed);
        prop_assert!(frechet(&pair.a, &again).abs() <= 1e-6 * power(&pair));
        prop_assert!(value(SetStatistic::Cmmd, &pair.a, &again).abs() <= 1e-9);
        let directions = random_directions(16, pair.a.size()[1], &mut Noise::new(5));
        let sliced = sliced_wasserstein(&pair.a, &again, &directions, Order::Two).unwrap();
        prop_assert!(sliced <= 1e-12 * power(&pair).sqrt());
        for (k, boundary) in [(1, Boundary::Inside), (3, Boundary::Inside)] {
            prop_assert_eq!(value(SetStatistic::Precision { k, boundary }, &pair.a, &again), 1.0);
            prop_assert_eq!(value(SetStatistic::Recall { k, boundary }, &pair.a, &again), 1.0);
        }
    }

    #[test]
    fn distances_are_symmetric_and_do_not_see_the_order(pair in pairs()) {
        let Pair { a, b, seed } = &pair;
        for distance in symmetric() {
            let forth = distance(a, b);
            let near = |other: f64| (forth - other).abs() <= 1e-6 * (forth.abs() + power(&pair));
            prop_assert!(forth.is_finite());
            prop_assert!(near(distance(b, a)), "{} {}", forth, distance(b, a));
            prop_assert!(near(distance(&shuffled(a, *seed), &shuffled(b, seed ^ 1))));
        }
        for k in [1, 3] {
            let boundary = Boundary::Inside;
            let precision = value(SetStatistic::Precision { k, boundary }, a, b);
            prop_assert_eq!(precision, value(SetStatistic::Recall { k, boundary }, b, a));
            let density = value(SetStatistic::Density { k }, a, b);
            let mixed = value(SetStatistic::Density { k }, &shuffled(a, *seed), &shuffled(b, *seed));
            prop_assert!((density - mixed).abs() < 1e-12);
        }
    }

    #[test]
    fn a_shift_adds_its_square_and_a_scale_multiplies_by_its_own(pair in pairs(), by in 0.1f64..4.0) {
        let Pair { a, b, .. } = &pair;
        let apart = frechet(a, b);
        let shifted = (a.mean_dim(0, true, Kind::Double) - b.mean_dim(0, true, Kind::Double)) * by;
        let moved = frechet(&(a + &shifted), &(b + &shifted));
        prop_assert!((moved - apart).abs() <= 1e-6 * power(&pair), "{} {}", moved, apart);
        let scaled = frechet(&(a * by), &(b * by));
        prop_assert!((scaled - by * by * apart).abs() <= 1e-6 * power(&pair) * (1.0 + by * by));
        let away = frechet(a, &(a + by));
        prop_assert!((away - by * by * a.size()[1] as f64).abs() <= 1e-6 * (power(&pair) + away));
    }

    #[test]
    fn values_that_are_not_finite_are_refused_wherever_they_are(pair in pairs(), at in any::<prop::sample::Index>()) {
        let Pair { a, b, .. } = &pair;
        let broken = b.copy();
        let flat = broken.view(-1);
        let _ = flat.get(at.index(flat.size()[0] as usize) as i64).fill_(f64::NAN);
        let boundary = Boundary::Inside;
        let precision = SetStatistic::Precision { k: 3, boundary };
        for statistic in [SetStatistic::Frechet, SetStatistic::Cmmd, precision, SetStatistic::Coverage { k: 3 }] {
            for sets in [[a, &broken], [&broken, a]] {
                let error = statistic.of(sets[0], sets[1], Divisor::Sample).unwrap_err();
                prop_assert!(matches!(error, Error::NonFiniteFeatures { .. }), "{statistic:?}: {error}");
            }
        }
    }

    #[test]
    fn a_score_lies_between_one_and_the_number_of_classes(pair in pairs()) {
        let splits = ScoreSplits::Equal { count: 2, shuffle: None };
        let score = InceptionScore::of_logits(&pair.a, splits).unwrap();
        prop_assert!((1.0 - 1e-12..=pair.a.size()[1] as f64 + 1e-9).contains(&score.mean), "{:?}", score);
    }
}
