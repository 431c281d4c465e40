//! Attention maps can be read and replaced, with and without gradient.

use crate::networks::{Subject, all};
use diffusion_core::{AttentionMap, AttentionSite, AttentionTap};
use tch::{Kind, Tensor};

/// Watches the layers whose number is in `wanted`, and does something with their maps.
struct Watch<F> {
    wanted: Option<String>,
    seen: Vec<(String, Vec<i64>)>,
    act: F,
}

impl<F: FnMut(&Tensor) -> Option<Tensor>> AttentionTap for Watch<F> {
    fn wants(&self, site: &AttentionSite) -> bool {
        self.wanted.as_ref().is_none_or(|name| *name == site.name)
    }

    fn see(&mut self, map: AttentionMap<'_>) -> Option<Tensor> {
        let AttentionMap { site, grid: [height, width], weights } = map;
        assert_eq!(weights.size()[1..3], [site.heads, height * width], "{}", site.name);
        let sums = weights.sum_dim_intlist([-1].as_slice(), false, Kind::Float);
        assert!((sums - 1.0).abs().max().double_value(&[]) < 1e-5, "{}", site.name);
        self.seen.push((site.name.clone(), weights.size()));
        (self.act)(weights)
    }
}

fn watch<F: FnMut(&Tensor) -> Option<Tensor>>(
    subject: &Subject,
    wanted: Option<&str>,
    act: F,
) -> (Tensor, Vec<String>) {
    let Subject { network, x, c_noise, cond, .. } = subject;
    let mut tap = Watch { wanted: wanted.map(Into::into), seen: Vec::new(), act };
    let answer = network.forward_attending(x, c_noise, cond, None, &mut tap);
    (answer, tap.seen.into_iter().map(|(name, _)| name).collect())
}

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[]) / b.abs().max().double_value(&[])
}

#[test]
fn every_layer_is_shown_in_order_and_reading_changes_nothing() {
    for subject in all() {
        let sites = subject.network.attention_sites();
        assert!(!sites.is_empty(), "{}", subject.name);
        let (answer, seen) = watch(&subject, None, |_| None);
        assert!(seen.iter().eq(sites.iter().map(|site| &site.name)), "{}: {seen:?}", subject.name);
        let error = distance(&answer, &subject.run(&*subject.network));
        assert!(error < 1e-5, "{}: {error}", subject.name);
    }
}

#[test]
fn only_the_layers_wanted_are_shown() {
    for subject in all() {
        for site in subject.network.attention_sites() {
            let (_, seen) = watch(&subject, Some(&site.name), |_| None);
            assert!(seen.iter().eq([&site.name]), "{}: {seen:?}", subject.name);
        }
    }
}

#[test]
fn every_map_can_be_replaced() {
    for subject in all() {
        let before = subject.run(&*subject.network);
        for site in subject.network.attention_sites() {
            let backwards = |map: &Tensor| Some(map.flip([-1]));
            let (answer, _) = watch(&subject, Some(&site.name), backwards);
            let change = distance(&answer, &before);
            assert!(change > 1e-4, "{} {}: {change}", subject.name, site.name);
        }
    }
}

#[test]
fn maps_carry_the_gradient_of_the_image() {
    for mut subject in all() {
        subject.x = subject.x.set_requires_grad(true);
        let mut total = Tensor::from(0f32);
        let _ = watch(&subject, None, |map| {
            total = &total + map.square().sum(Kind::Float);
            None
        });
        total.backward();
        let gradient = subject.x.grad().abs().max().double_value(&[]);
        assert!(gradient > 0.0, "{}", subject.name);
    }
}
