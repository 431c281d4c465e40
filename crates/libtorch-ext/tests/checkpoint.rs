//! Checkpointed segments give the gradients of the plain function, and refuse what they cannot do.

use libtorch_ext::autograd::{GradOptions, checkpoint, grad};
use libtorch_ext::{Autocast, Error};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tch::{Device, Kind, Tensor};

fn wave(size: &[i64], frequency: f64, kind: Kind) -> Tensor {
    let count = size.iter().product::<i64>();
    (Tensor::arange(count, (Kind::Double, Device::Cpu)) * frequency)
        .sin()
        .reshape(size)
        .to_kind(kind)
}

/// An input and two weights.
fn leaves(kind: Kind) -> [Tensor; 3] {
    [([4, 6], 0.7), ([6, 6], 1.3), ([6, 6], 2.9)]
        .map(|(size, frequency)| wave(&size, frequency, kind).set_requires_grad(true))
}

fn handles<const N: usize>(tensors: &[Tensor; N]) -> [Tensor; N] {
    tensors.each_ref().map(Tensor::shallow_clone)
}

fn layer(x: &Tensor, weight: &Tensor) -> Tensor {
    x.matmul(weight).silu()
}

/// The gradients of a loss in which the segment stands between other operations, by plain and by checkpointed means.
fn gradients(leaves: &[Tensor; 3], checkpointed: bool) -> Vec<Tensor> {
    let [x, a, b] = leaves;
    let h = x * 2.0;
    let y = if checkpointed {
        let weights = [a.shallow_clone(), b.shallow_clone()];
        let f = move |x: &[Tensor]| layer(&layer(&x[0], &weights[0]), &weights[1]);
        checkpoint(f, &[h], &[a.shallow_clone(), b.shallow_clone()]).unwrap()
    } else {
        layer(&layer(&h, a), b)
    };
    let loss = y.square().to_kind(Kind::Double).sum(Kind::Double);
    let found = grad(&loss, &handles(leaves), GradOptions::default()).unwrap();
    found.into_iter().map(Option::unwrap).collect()
}

#[test]
fn gradients_are_those_of_the_plain_function() {
    let leaves = leaves(Kind::Double);
    assert_eq!(gradients(&leaves, true), gradients(&leaves, false));
}

#[test]
fn backward_accumulates_in_inputs_and_params() {
    let [x, a, _] = leaves(Kind::Double);
    layer(&x, &a).sum(Kind::Double).backward();
    let expected = [x.grad().copy(), a.grad().copy()];
    let captured = a.shallow_clone();
    let y = checkpoint(
        move |x| layer(&x[0], &captured),
        &handles(&[x.shallow_clone()]),
        &[a.shallow_clone()],
    );
    y.unwrap().sum(Kind::Double).backward();
    assert_eq!([x.grad(), a.grad()], expected.map(|once| once * 2.0));
}

#[test]
fn the_function_is_called_once_for_each_pass() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let f = move |x: &[Tensor]| {
        counter.fetch_add(1, Ordering::Relaxed);
        x[0].square()
    };
    let x = Tensor::from(3f64).set_requires_grad(true);
    let y = checkpoint(f, &[x.shallow_clone()], &[]).unwrap();
    assert_eq!((calls.load(Ordering::Relaxed), Arc::strong_count(&calls)), (1, 2));
    y.backward();
    assert_eq!((calls.load(Ordering::Relaxed), x.grad().double_value(&[])), (2, 6.0));
    drop(y);
    assert_eq!(Arc::strong_count(&calls), 1, "the closure goes with the graph");
}

#[test]
fn segments_may_contain_segments() {
    let leaves = leaves(Kind::Double);
    let [x, a, b] = handles(&leaves);
    let inner = [a.shallow_clone(), b.shallow_clone()];
    let outer = move |x: &[Tensor]| {
        let [a, b] = handles(&inner);
        let params = [a.shallow_clone()];
        let h = checkpoint(move |x| layer(&x[0], &a), x, &params).unwrap();
        layer(&h, &b)
    };
    let y = checkpoint(outer, &[x * 2.0], &[a, b]).unwrap();
    let loss = y.square().sum(Kind::Double);
    let found = grad(&loss, &handles(&leaves), GradOptions::default()).unwrap();
    let found: Vec<_> = found.into_iter().map(Option::unwrap).collect();
    assert_eq!(found, gradients(&leaves, false));
}

/// The second evaluation happens after the scope has ended, and must compute in bf16 all the same.
#[test]
fn autocast_is_restored() {
    let leaves = leaves(Kind::Float);
    let run = |checkpointed| {
        let [x, a, b] = &leaves;
        let y = {
            let _bf16 = Autocast::bf16(Device::Cpu);
            if checkpointed {
                let weights = [a.shallow_clone(), b.shallow_clone()];
                let f = move |x: &[Tensor]| layer(&layer(&x[0], &weights[0]), &weights[1]);
                let params = [a.shallow_clone(), b.shallow_clone()];
                checkpoint(f, &[x.shallow_clone()], &params).unwrap()
            } else {
                layer(&layer(x, a), b)
            }
        };
        assert_eq!(y.kind(), Kind::BFloat16);
        let loss = y.to_kind(Kind::Float).square().sum(Kind::Float);
        let found = grad(&loss, &handles(&leaves), GradOptions::default()).unwrap();
        found.into_iter().map(Option::unwrap).collect::<Vec<_>>()
    };
    assert_eq!(run(true), run(false));
    let a = &leaves[1];
    assert_eq!(a.matmul(a).kind(), Kind::Float, "the scope does not leak");
}

/// The second evaluation happens outside of the guard that would empty the cache of casted weights.
#[test]
fn weights_updated_after_the_backward_pass_are_seen() {
    let [x, a, _] = leaves(Kind::Float);
    let y = {
        let _bf16 = Autocast::bf16(Device::Cpu);
        let (captured, params) = (a.shallow_clone(), [a.shallow_clone()]);
        checkpoint(move |x| layer(&x[0], &captured), &[x.detach()], &params).unwrap()
    };
    y.sum(Kind::Float).backward();
    let _ = tch::no_grad(|| a.shallow_clone().fill_(0.0));
    let _bf16 = Autocast::bf16(Device::Cpu);
    assert_eq!(layer(&x, &a).abs().max().double_value(&[]), 0.0);
}

#[test]
fn without_a_graph_it_is_the_plain_function() {
    let [x, a, _] = leaves(Kind::Double);
    let expected = tch::no_grad(|| layer(&x, &a));
    let captured = a.shallow_clone();
    let y = tch::no_grad(|| checkpoint(move |x| layer(&x[0], &captured), &[x], &[a])).unwrap();
    assert!(!y.requires_grad());
    assert_eq!(y, expected);
}

#[test]
fn a_panic_in_either_pass_is_an_error() {
    let x = [Tensor::from(3f64).set_requires_grad(true)];
    let error = checkpoint(|_| panic!("first pass"), &x, &[]).unwrap_err();
    assert!(error.to_string().contains("first pass"), "{error}");

    let calls = AtomicUsize::new(0);
    let second = move |x: &[Tensor]| {
        assert_eq!(calls.fetch_add(1, Ordering::Relaxed), 0, "second pass");
        x[0].square()
    };
    let y = checkpoint(second, &x, &[]).unwrap();
    let error = grad(&y, &x, GradOptions::default()).unwrap_err();
    assert!(error.to_string().contains("second pass"), "{error}");
}

#[test]
fn a_captured_weight_that_is_not_listed_is_an_error() {
    let [x, a, b] = leaves(Kind::Double);
    let weights = [a.shallow_clone(), b];
    let f = move |x: &[Tensor]| layer(&layer(&x[0], &weights[0]), &weights[1]);
    let y = checkpoint(f, &[x.shallow_clone()], &[a]).unwrap().sum(Kind::Double);
    let error = grad(&y, &[x], GradOptions::default()).unwrap_err();
    assert!(error.to_string().contains("[6, 6]"), "{error}");
}

#[test]
fn what_cannot_be_done_is_refused() {
    let [x, a, _] = leaves(Kind::Double);
    let derived = &a * 2.0;
    let error = checkpoint(|x| x[0].square(), &[x.shallow_clone()], &[a.shallow_clone(), derived]);
    assert!(matches!(error, Err(Error::NotALeaf { index: 1 })), "{error:?}");

    let y = checkpoint(|x| x[0].square(), &[x.shallow_clone()], &[]).unwrap().sum(Kind::Double);
    let twice = GradOptions { create_graph: true, ..GradOptions::default() };
    let error = grad(&y, &[x], twice).unwrap_err();
    assert!(error.to_string().contains("differentiated twice"), "{error}");

    let captured = a.shallow_clone();
    let params = [a.shallow_clone()];
    let y = checkpoint(move |x| &x[0] * &captured, &[leaves(Kind::Double)[1].copy()], &params);
    let _ = tch::no_grad(|| a.shallow_clone().fill_(1.0));
    let error = grad(&y.unwrap().sum(Kind::Double), &[a], GradOptions::default()).unwrap_err();
    assert!(error.to_string().contains("modified by an inplace operation"), "{error}");
}
