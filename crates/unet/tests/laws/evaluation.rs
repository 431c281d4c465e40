//! Twins, masks, gradients: what trainers rely on.

use crate::networks::{Subject, all};
use diffusion_core::{Backbone, Noise};
use tch::{Kind, Tensor};

fn largest(x: &Tensor) -> f64 {
    x.abs().max().double_value(&[])
}

/// Against the largest value: small ones among large ones have few digits.
fn distance(a: &Tensor, b: &Tensor) -> f64 {
    largest(&(a - b)) / largest(b)
}

fn names(subject: &Subject) -> Vec<String> {
    subject.used().map(|entry| entry.name.clone()).collect()
}

#[test]
fn a_twin_is_equal_and_independent() {
    for subject in all() {
        let twin = subject.network.twin();
        let before = subject.run(&*subject.network);
        assert_eq!(subject.run(&*twin), before, "{}", subject.name);
        tch::no_grad(|| {
            for entry in subject.network.parameters().trained() {
                let _ = entry.tensor.shallow_clone().zero_();
            }
        });
        assert_eq!(largest(&subject.run(&*subject.network)), 0.0, "{}", subject.name);
        assert_eq!(subject.run(&*twin), before, "{}", subject.name);
    }
}

#[test]
fn images_of_a_batch_do_not_see_each_other() {
    for Subject { name, network, x, c_noise, cond, .. } in all() {
        let whole = network.forward(&x, &c_noise, &cond, None).narrow(0, 1, 1);
        let (x, c_noise) = (x.narrow(0, 1, 1), c_noise.narrow(0, 1, 1));
        let alone = network.forward(&x, &c_noise, &cond.narrow(1, 1), None);
        assert!(largest(&(&alone - &whole)) < 1e-5 * largest(&whole), "{name}");
    }
}

#[test]
fn dropout_masks_follow_the_noise() {
    for subject in all() {
        let train = |seed| subject.train(&*subject.network, seed);
        assert_eq!(train(5), train(5), "{}", subject.name);
        assert_ne!(train(5), train(6), "{}", subject.name);
        assert_ne!(train(5), subject.run(&*subject.network), "{}", subject.name);
    }
}

#[test]
fn gradients_reach_every_parameter() {
    for subject in all() {
        subject.run(&*subject.network).square().sum(Kind::Float).backward();
        for entry in subject.used() {
            let grad = entry.tensor.grad();
            let reached = grad.defined() && largest(&grad) > 0.0;
            assert!(reached, "{}: no gradient reaches `{}`", subject.name, entry.name);
        }
    }
}

#[test]
fn the_gradient_has_a_gradient() {
    for Subject { name, network, x, c_noise, cond, .. } in all() {
        let x = x.set_requires_grad(true);
        let out = network.forward(&x, &c_noise, &cond, None).square().sum(Kind::Float);
        let grad = Tensor::run_backward(&[out], &[&x], true, true).remove(0);
        grad.square().sum(Kind::Float).backward();
        let site = &network.attention_sites()[0].name;
        let inside = |entry: &&diffusion_core::Parameter| entry.name.starts_with(site);
        let weight = network.parameters().trained().filter(inside).last().unwrap();
        assert!(largest(&weight.tensor.grad()) > 0.0, "{name}");
    }
}

#[test]
fn recomputing_gives_the_same_gradients_from_the_same_masks() {
    for subject in all() {
        let network = &*subject.network; // has dropout
        let gradients = |recompute: bool| {
            network.recompute(recompute);
            let x = subject.x.detach().copy().set_requires_grad(true);
            let mut masks = Noise::new(9);
            let out = network.forward(&x, &subject.c_noise, &subject.cond, Some(&mut masks));
            for entry in subject.used() {
                entry.tensor.shallow_clone().zero_grad();
            }
            out.square().sum(Kind::Float).backward();
            let weights = subject.used().map(|entry| entry.tensor.grad().copy());
            let all: Vec<Tensor> = weights.chain([x.grad().copy(), out.detach()]).collect();
            (all, masks.state())
        };
        let ((kept, one), (again, other)) = (gradients(false), gradients(true));
        let names = names(&subject);
        // sums over several users of a tensor run in another order, and where the gradient is zero, as that of a bias that
        // all keys share, rounding is all there is
        let rounding = 1e-7 * kept.iter().map(largest).fold(0.0, f64::max);
        for (index, (a, b)) in kept.iter().zip(&again).enumerate() {
            let place = names.get(index).map_or("input or output", String::as_str);
            let difference = largest(&(a - b));
            assert!(difference <= 1e-5 * largest(a) + rounding, "{}: {place}", subject.name);
        }
        assert_eq!(one, other, "{}", subject.name);
        let frozen = network.twin();
        frozen.parameters().set_requires_grad(false);
        assert!(!subject.run(&*frozen).requires_grad(), "{}", subject.name);
    }
}

#[test]
fn a_prepared_network_answers_the_same_and_sees_new_weights() {
    let _no_grad = tch::no_grad_guard();
    for subject in all() {
        let network = &*subject.network;
        let before = subject.run(network);
        network.prepare();
        assert!(distance(&subject.run(network), &before) < 1e-5, "{}", subject.name);
        for entry in network.parameters().trained() {
            let _ = entry.tensor.shallow_clone().g_mul_scalar_(0.9);
        }
        let other = network.twin(); // not prepared
        let expected = subject.run(&*other);
        assert!(distance(&subject.run(network), &expected) < 1e-5, "{}", subject.name);
        assert!(distance(&expected, &before) > 1e-2, "{}", subject.name);
    }
}
