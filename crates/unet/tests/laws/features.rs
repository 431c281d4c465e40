//! Features can be seen, all or some, without changing the answer.

use crate::networks::{Subject, all};
use diffusion_core::{Denoiser, Error, FeatureTaps, Part};
use diffusion_schedule::{Preconditioned, Preconditioning};
use std::ops::ControlFlow;
use tch::Tensor;

fn seen(subject: &Subject, stop_after: usize) -> (Vec<String>, bool) {
    let Subject { network, x, c_noise, cond, .. } = subject;
    let mut names = Vec::new();
    let answer = network.forward_tapped(x, c_noise, cond, None, &mut |site, _| {
        names.push(site.name.clone());
        if names.len() == stop_after { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    (names, answer.is_some())
}

#[test]
fn every_place_is_shown_once_and_in_order() {
    for subject in all() {
        let sites = subject.network.feature_sites();
        let expected: Vec<_> = sites.iter().map(|site| site.name.clone()).collect();
        assert_eq!(seen(&subject, usize::MAX), (expected, true), "{}", subject.name);
        assert!(sites.is_sorted_by_key(|site| site.part), "{}", subject.name);
    }
}

#[test]
fn watching_changes_nothing() {
    for subject in all() {
        let Subject { network, x, c_noise, cond, name, .. } = &subject;
        let continue_all = &mut |_: &_, _: &_| ControlFlow::Continue(());
        let watched = network.forward_tapped(x, c_noise, cond, None, continue_all);
        assert_eq!(watched.unwrap(), subject.run(&**network), "{name}");
    }
}

#[test]
fn a_denoiser_shows_the_features_of_its_network() {
    for Subject { name, network, x, cond, .. } in all() {
        let denoiser = Preconditioned::new(network, Preconditioning::default());
        let sigma = Tensor::from_slice(&[0.3f32, 2.0]).narrow(0, 0, x.size()[0]);
        let mut places = 0;
        let answer = denoiser.denoise_tapped(&x, &sigma, &cond, None, &mut |_, _| {
            places += 1;
            ControlFlow::Continue(())
        });
        assert_eq!(places, denoiser.backbone().feature_sites().len(), "{name}");
        assert_eq!(answer.unwrap(), denoiser.denoise(&x, &sigma, &cond), "{name}");
        let stop = &mut |_: &_, _: &_| ControlFlow::Break(());
        assert!(denoiser.denoise_tapped(&x, &sigma, &cond, None, stop).is_none(), "{name}");
    }
}

#[test]
fn a_tap_can_stop_the_evaluation() {
    for subject in all() {
        let places = subject.network.feature_sites().len();
        for stop_after in [1, places / 2, places] {
            let (names, answered) = seen(&subject, stop_after);
            assert_eq!((names.len(), answered), (stop_after, false), "{}", subject.name);
        }
    }
}

#[test]
fn features_come_by_name_in_the_order_asked_for() {
    for Subject { network, x, c_noise, cond, name, .. } in all() {
        let of = |part| network.feature_sites().iter().find(|site| site.part == part).unwrap();
        let [embedding, encoder] = [Part::Embedding, Part::Encoder].map(|part| &*of(part).name);
        let found = network.features(&x, &c_noise, &cond, &[encoder, embedding, encoder]).unwrap();
        assert_eq!(found.iter().map(|f| f.dim()).collect::<Vec<_>>(), [4, 2, 4], "{name}");
        assert_eq!(found[0], found[2]);
        let error = network.features(&x, &c_noise, &cond, &["nowhere"]).unwrap_err();
        assert!(matches!(error, Error::UnknownSite { name, .. } if name == "nowhere"));
    }
}
