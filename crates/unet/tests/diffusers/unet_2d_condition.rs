//! What a U-Net does with conditions.

use diffusion_core::{AttentionKind, AttentionTaps, Backbone, Cond, Noise};
use tch::{Device, Tensor};
use unet::{PerBlock, Unet2dCondition, Unet2dConditionConfig};

fn config() -> Unet2dConditionConfig {
    Unet2dConditionConfig {
        block_out_channels: vec![8, 16],
        down_block_types: ["CrossAttnDownBlock2D", "DownBlock2D"].map(Into::into).into(),
        up_block_types: ["UpBlock2D", "CrossAttnUpBlock2D"].map(Into::into).into(),
        layers_per_block: PerBlock::All(1),
        norm_num_groups: 4,
        attention_head_dim: PerBlock::All(2),
        cross_attention_dim: PerBlock::All(6),
        time_cond_proj_dim: Some(8),
        ..Unet2dConditionConfig::default()
    }
}

fn network(config: &Unet2dConditionConfig) -> Unet2dCondition {
    Unet2dCondition::new(config, &mut Noise::new(1), Device::Cpu).unwrap()
}

fn answer(config: &Unet2dConditionConfig, cond: &Cond) -> Tensor {
    let x = Noise::new(2).normal(&[2, 4, 8, 8]);
    network(config).forward(&x, &Tensor::from_slice(&[1f32, 900.0]), cond, None)
}

fn text(width: i64) -> Cond {
    let mut cond = Cond::none();
    cond.text = Some(Noise::new(3).normal(&[2, 5, width]));
    cond
}

#[test]
fn attention_knows_what_it_looks_at() {
    let only = |only_cross_attention| Unet2dConditionConfig { only_cross_attention, ..config() };
    let kinds = |config| {
        let network = network(&config);
        let of = |name: &str| {
            let site = network.attention_sites().iter().find(|site| site.name == name);
            site.unwrap_or_else(|| panic!("no `{name}`")).kind
        };
        let path = |place: &str, attn| of(&format!("{place}.transformer_blocks.0.{attn}"));
        ["down_blocks.0.attentions.0", "mid_block.attentions.0", "up_blocks.1.attentions.1"]
            .map(|place| [path(place, "attn1"), path(place, "attn2")])
    };
    use AttentionKind::{CrossAttention, SelfAttention};
    let usual = [SelfAttention, CrossAttention];
    assert_eq!(kinds(config()), [usual; 3]);
    let only_text = [CrossAttention; 2];
    assert_eq!(kinds(only(PerBlock::All(true))), [only_text, usual, only_text]);
    assert_eq!(kinds(only(PerBlock::Each(vec![false, true]))), [usual; 3]);
}

#[test]
fn every_transformer_may_have_its_own_depth() {
    let each = |depths: &[i64]| PerBlock::Each(depths.to_vec());
    let config = Unet2dConditionConfig {
        transformer_layers_per_block: PerBlock::Each(vec![each(&[2]), PerBlock::All(3)]),
        reverse_transformer_layers_per_block: Some(PerBlock::Each(vec![
            PerBlock::All(1),
            each(&[3, 4]),
        ])),
        ..config()
    };
    let network = network(&config);
    let depth = |place: &str| {
        let inside = network.attention_sites().iter().filter(|site| site.name.starts_with(place));
        inside.filter(|site| site.name.ends_with("attn2")).count()
    };
    assert_eq!(depth("down_blocks.0.attentions.0."), 2);
    assert_eq!(depth("mid_block.attentions.0."), 3);
    assert_eq!(depth("up_blocks.1.attentions.0."), 3);
    assert_eq!(depth("up_blocks.1.attentions.1."), 4);
}

#[test]
fn the_middle_may_be_smaller_or_absent() {
    let names = |mid_block_type: Option<&str>| -> Vec<String> {
        let config =
            Unet2dConditionConfig { mid_block_type: mid_block_type.map(Into::into), ..config() };
        let network = network(&config);
        let _ = answer(&config, &text(6));
        let names = network.parameters().iter().map(|entry| entry.name.clone());
        names.filter(|name| name.starts_with("mid_block")).collect()
    };
    assert_eq!(names(None), Vec::<String>::new());
    assert_eq!(names(Some("UNetMidBlock2D")).len(), 10);
    assert_eq!(names(Some("UNetMidBlock2DCrossAttn")).len(), 46);
}

#[test]
fn guidance_counts_where_it_is_given() {
    let guided = |scale: f32| {
        let mut cond = text(6);
        cond.guidance = Some(Tensor::from_slice(&[scale, scale]));
        answer(&config(), &cond)
    };
    let without = answer(&config(), &text(6));
    assert_ne!(guided(7.0), guided(1.0));
    assert_ne!(guided(0.0), without); // the sines of zero are not nothing
    let unaware = Unet2dConditionConfig { time_cond_proj_dim: None, ..config() };
    let mut cond = text(6);
    cond.guidance = Some(Tensor::from_slice(&[7f32, 7.0]));
    assert_eq!(answer(&unaware, &cond), answer(&unaware, &text(6)));
}

#[test]
#[should_panic(expected = "`text` of the condition has shape None; this network needs [2, -1, 6]")]
fn a_text_is_needed() {
    let _ = answer(&config(), &Cond::none());
}

#[test]
#[should_panic(
    expected = "`text` of the condition has shape Some([2, 5, 7]); this network needs [2, -1, 6]"
)]
fn a_text_of_another_width_is_refused() {
    let _ = answer(&config(), &text(7));
}

#[test]
#[should_panic(
    expected = "`pooled_text` of the condition has shape None; this network needs [2, 5]"
)]
fn what_xl_needs_is_asked_for() {
    let config = Unet2dConditionConfig {
        addition_embed_type: Some("text_time".into()),
        addition_time_embed_dim: Some(4),
        projection_class_embeddings_input_dim: Some(29),
        ..config()
    };
    let _ = answer(&config, &text(6));
}

#[test]
#[should_panic(expected = "`labels` of the condition has shape None; this network needs [2, 3]")]
fn a_class_is_needed() {
    let _ = answer(&Unet2dConditionConfig { num_class_embeds: Some(3), ..config() }, &text(6));
}
