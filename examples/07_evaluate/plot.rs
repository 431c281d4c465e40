//! A metric over network evaluations, as a picture.

use super::summary::Line;
use anyhow::{Context, Result, anyhow, ensure};
use fewstep::diffusion_core::tensor_file;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use plotters::prelude::*;
use plotters::style::register_font;
use std::error::Error;
use std::path::Path;

const SIZE: (u32, u32) = (900, 600);
const FONT: &str = "sans-serif";
const COLOR: RGBColor = RGBColor(31, 105, 190);
const GRID: RGBColor = RGBColor(226, 229, 234);

/// Network evaluations, and the least, mean and largest value over the seeds.
type Point = (f64, [f64; 3]);

/// Draws the first metric of the lines: means joined by a line, bars from the least to the largest seed.
pub(crate) fn write(path: &Path, lines: &[Line]) -> Result<()> {
    let first = lines.first().context("nothing was measured")?;
    let mut points: Vec<Point> = Vec::new();
    for line in lines.iter().filter(|line| line.metric == first.metric) {
        let nfe = line.nfe.context("images in files have no network evaluations to plot over")?;
        let largest = line.values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        points.push((nfe as f64, [line.min, line.mean, largest]));
    }
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points.dedup_by_key(|point| point.0.to_bits());
    ensure!(
        points.len() > 1,
        "a plot needs two numbers of network evaluations; give several `--steps`"
    );
    let title = format!("{} over network evaluations", first.metric.label);
    let pixels = draw(&title, &points).map_err(|error| anyhow!("cannot draw: {error}"))?;
    let mut png = Vec::new();
    PngEncoder::new(&mut png).write_image(&pixels, SIZE.0, SIZE.1, ExtendedColorType::Rgb8)?;
    Ok(tensor_file::write_bytes(path, &png)?)
}

fn draw(title: &str, points: &[Point]) -> Result<Vec<u8>, Box<dyn Error>> {
    let font = epaint_default_fonts::UBUNTU_LIGHT;
    register_font(FONT, FontStyle::Normal, font).map_err(|_| "the embedded font is damaged")?;
    let mut pixels = vec![0; (SIZE.0 * SIZE.1 * 3) as usize];
    {
        let canvas = BitMapBackend::with_buffer(&mut pixels, SIZE).into_drawing_area();
        canvas.fill(&WHITE)?;
        let values = || points.iter().flat_map(|(_, values)| values.iter().copied());
        let low = values().fold(f64::INFINITY, f64::min);
        let high = values().fold(f64::NEG_INFINITY, f64::max);
        let air = ((high - low) * 0.08).max(high.abs() * 1e-3).max(1e-9);
        let (start, end) = (points[0].0, points[points.len() - 1].0);
        let margin = (end - start) * 0.05;
        let mut chart = ChartBuilder::on(&canvas)
            .margin(16)
            .caption(title, (FONT, 24))
            .x_label_area_size(48)
            .y_label_area_size(80)
            .build_cartesian_2d(start - margin..end + margin, low - air..high + air)?;
        chart
            .configure_mesh()
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .label_style((FONT, 16))
            .x_desc("network evaluations for one image")
            .x_label_formatter(&|nfe| format!("{nfe:.0}"))
            .draw()?;
        let means = || points.iter().map(|&(nfe, [_, mean, _])| (nfe, mean));
        chart.draw_series(LineSeries::new(means(), COLOR.stroke_width(2)))?;
        chart.draw_series(means().map(|mean| Circle::new(mean, 4, COLOR.filled())))?;
        let bar = |&(nfe, [least, _, largest]): &Point| {
            PathElement::new(vec![(nfe, least), (nfe, largest)], COLOR.stroke_width(2))
        };
        chart.draw_series(points.iter().map(bar))?;
        canvas.present()?;
    }
    Ok(pixels)
}
