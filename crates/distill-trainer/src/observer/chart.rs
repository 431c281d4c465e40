//! Panels of curves as the bytes of a PNG.

use image::RgbImage;
use image::codecs::png::{CompressionType::Best, FilterType as PngFilter, PngEncoder};
use image::imageops::{self, FilterType};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;
use plotters::style::register_font;
use std::collections::BTreeMap;
use std::error::Error;
use std::ops::Range;
use std::sync::Once;

/// Thousands of images, and the value there; both finite.
pub(super) type Point = (f64, f64);

type Panel<'a> = DrawingArea<BitMapBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn Error>>;

const WIDTH: u32 = 1200;
/// Everything is drawn this much larger and then reduced, which smooths the lines.
const OVERSAMPLING: u32 = 2;
const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(30, 34, 42);
const GRID: RGBColor = RGBColor(226, 229, 234);
/// One color per turn.
const COLORS: [RGBColor; 5] = [
    RGBColor(31, 105, 190),
    RGBColor(214, 92, 30),
    RGBColor(24, 138, 94),
    RGBColor(140, 80, 180),
    RGBColor(190, 40, 90),
];

/// The picture of all curves, or why it cannot be drawn.
pub(super) fn encode(curves: &BTreeMap<String, Vec<Point>>) -> Result<Vec<u8>, String> {
    register_fonts();
    draw(curves).map_err(|error| error.to_string())
}

fn register_fonts() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let font = epaint_default_fonts::UBUNTU_LIGHT;
        let registered = register_font(FONT, FontStyle::Normal, font);
        assert!(registered.is_ok(), "the embedded font is readable");
    });
}

fn draw(curves: &BTreeMap<String, Vec<Point>>) -> Result<Vec<u8>, Box<dyn Error>> {
    let (columns, panel_height) = layout(curves.len());
    let rows = curves.len().div_ceil(columns);
    let (width, height) = (WIDTH * OVERSAMPLING, panel_height * rows as u32 * OVERSAMPLING);
    let mut pixels = vec![0; (width * height * 3) as usize];
    {
        let canvas = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
        canvas.fill(&WHITE)?;
        let panels = canvas.split_evenly((rows, columns));
        for ((panel, (term, curve)), color) in panels.iter().zip(curves).zip(colors(curves)) {
            draw_panel(panel, term, curve, color)?;
        }
        canvas.present()?;
    }
    let picture = RgbImage::from_raw(width, height, pixels).expect("three bytes per pixel");
    png(&picture)
}

/// Columns, and the height of a panel.
fn layout(panels: usize) -> (usize, u32) {
    match panels {
        0 | 1 => (1, 560),
        2..=4 => (2, 400),
        _ => (3, 300),
    }
}

/// A color for each curve: the terms of one turn share theirs.
fn colors(curves: &BTreeMap<String, Vec<Point>>) -> Vec<RGBColor> {
    let turn = |term: &String| term.split('/').next().map(str::to_owned);
    let mut turns: Vec<_> = curves.keys().map(turn).collect();
    turns.dedup(); // the terms are sorted
    let index = |term| turns.iter().position(|t| *t == turn(term)).unwrap_or(0);
    curves.keys().map(|term| COLORS[index(term) % COLORS.len()]).collect()
}

fn draw_panel(panel: &Panel<'_>, term: &str, curve: &[Point], color: RGBColor) -> Drawn {
    let values = || curve.iter().map(|&(_, value)| value);
    let low = values().fold(f64::INFINITY, f64::min);
    let high = values().fold(f64::NEG_INFINITY, f64::max);
    let name = term.rsplit('/').next().unwrap_or(term);
    if low > 0.0 && high / low > 100.0 {
        let axis = (low / 1.25..high * 1.25).log_scale();
        draw_chart(panel, term, &format!("{name}, log scale"), curve, axis, &power_of_ten, color)
    } else {
        let axis = padded(low, high);
        let span = axis.end - axis.start;
        draw_chart(panel, term, name, curve, axis, &|value| rounded(*value, span), color)
    }
}

fn draw_chart<Y>(
    panel: &Panel<'_>,
    title: &str,
    y_name: &str,
    curve: &[Point],
    y_axis: Y,
    y_label: &dyn Fn(&f64) -> String,
    color: RGBColor,
) -> Drawn
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let &last = curve.last().ok_or("a curve without points")?;
    let end = last.0.max(1e-3);
    let text = |size: u32| (FONT, size * OVERSAMPLING).into_font().color(&INK);
    let mut chart = ChartBuilder::on(panel)
        .margin(10 * OVERSAMPLING)
        .margin_right(22 * OVERSAMPLING)
        .caption(title, text(17))
        .x_label_area_size(38 * OVERSAMPLING)
        .y_label_area_size(60 * OVERSAMPLING)
        .build_cartesian_2d(0.0..end, y_axis)?;
    chart
        .configure_mesh()
        .axis_style(INK.stroke_width(OVERSAMPLING))
        .bold_line_style(GRID.stroke_width(OVERSAMPLING))
        .light_line_style(TRANSPARENT)
        .label_style(text(12))
        .axis_desc_style(text(13))
        .x_desc("kimg")
        .y_desc(y_name)
        .x_labels(7)
        .y_labels(7)
        .x_label_formatter(&|kimg| rounded(*kimg, end))
        .y_label_formatter(y_label)
        .draw()?;
    let line = color.stroke_width(2 * OVERSAMPLING - 1);
    chart.draw_series(LineSeries::new(curve.iter().copied(), line))?;
    chart.draw_series([Circle::new(last, 3 * OVERSAMPLING, color.filled())])?;
    Ok(())
}

/// An axis with some air, also where all values are equal.
fn padded(low: f64, high: f64) -> Range<f64> {
    let least = low.abs().max(high.abs()).max(1e-9) * 1e-3;
    let air = ((high - low) * 0.06).max(least);
    low - air..high + air
}

/// A tick mark on an axis of the given length.
fn rounded(value: f64, span: f64) -> String {
    if value.abs() < span * 1e-9 {
        return "0".into();
    }
    if !(1e-4..1e5).contains(&span) {
        return format!("{value:.1e}");
    }
    let decimals = (1.0 - span.log10().floor()).clamp(0.0, 6.0) as usize;
    format!("{value:.decimals$}")
}

/// A tick mark on a logarithmic axis.
fn power_of_ten(value: &f64) -> String {
    let exponent = value.log10().round() as i32;
    match exponent {
        -3..=4 => format!("{value:.*}", exponent.min(0).unsigned_abs() as usize),
        _ => format!("1e{exponent}"),
    }
}

fn png(picture: &RgbImage) -> Result<Vec<u8>, Box<dyn Error>> {
    let (width, height) = (picture.width() / OVERSAMPLING, picture.height() / OVERSAMPLING);
    let picture = imageops::resize(picture, width, height, FilterType::Triangle);
    let mut png = Vec::new();
    // Without a filter, flat areas compress best.
    let encoder = PngEncoder::new_with_quality(&mut png, Best, PngFilter::NoFilter);
    picture.write_with_encoder(encoder)?;
    Ok(png)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(n: usize, f: impl Fn(f64) -> f64) -> Vec<Point> {
        (1..=n).map(|i| (i as f64 * 4.0, f(i as f64 / n as f64))).collect()
    }

    /// A picture with `n` terms, decoded.
    fn picture(n: usize, values: impl Fn(usize, f64) -> f64) -> RgbImage {
        let term = |i: usize| format!("{}/term {i}", ["fake", "student", "zeta"][i % 3]);
        let curves = (0..n).map(|i| (term(i), curve(150, |t| values(i, t)))).collect();
        let png = encode(&curves).unwrap();
        image::load_from_memory(&png).unwrap().to_rgb8()
    }

    /// A falling or oscillating noisy loss.
    fn loss(i: usize, t: f64) -> f64 {
        let wiggle = 1.0 + 0.15 * (t * 997.0).sin() * (t * 331.0).cos();
        match i % 4 {
            0 => 3.0 * wiggle * 10f64.powf(-4.0 * t.sqrt()),
            1 => wiggle * (0.3 + 0.7 * (-5.0 * t).exp()),
            2 => (t * 9.0).sin() * wiggle * 1e-3,
            _ => 25_000.0 * wiggle,
        }
    }

    /// Pixels that are neither white nor of the axes' gray.
    fn colored(picture: &RgbImage, x: Range<u32>, y: Range<u32>) -> usize {
        let is_colored = |&(x, y): &(u32, u32)| {
            let [r, g, b] = picture.get_pixel(x, y).0;
            r.abs_diff(g).max(g.abs_diff(b)) > 60
        };
        y.flat_map(|y| x.clone().map(move |x| (x, y))).filter(is_colored).count()
    }

    #[test]
    fn every_term_has_a_panel_with_a_line() {
        for (terms, columns, rows, height) in [(1, 1, 1, 560), (2, 2, 1, 400), (10, 3, 4, 300)] {
            let picture = picture(terms, loss);
            assert_eq!(picture.dimensions(), (WIDTH, rows * height));
            let width = WIDTH / columns;
            for i in 0..terms as u32 {
                let (x, y) = (i % columns * width, i / columns * height);
                let line = colored(&picture, x..x + width, y..y + height);
                assert!(line > width as usize / 2, "panel {i} of {terms} has {line} pixels");
            }
        }
    }

    #[test]
    fn odd_curves_are_drawn() {
        let big = f64::from(f32::MAX);
        let odd: [&[Point]; 8] = [
            &[(0.0, 1.0)],
            &[(1.0, 0.0), (2.0, 0.0)],
            &[(1.0, -5.0), (2.0, -5.0)],
            &[(1.0, big), (2.0, -big)],
            &[(1.0, 1e-38), (2.0, big)],
            &[(1.0, 1.0), (2.0, 1.0 + f64::EPSILON)],
            &[(1.0, 1e-40), (2.0, 2e-40)],
            &[(1e6, 1.0), (1e6, 2.0)],
        ];
        for curve in odd {
            let png = encode(&BTreeMap::from([("odd".into(), curve.to_vec())])).unwrap();
            let picture = image::load_from_memory(&png).unwrap().to_rgb8();
            assert!(colored(&picture, 0..WIDTH, 0..560) > 9, "{curve:?}");
        }
    }

    #[test]
    fn terms_of_a_turn_share_a_color() {
        let terms = ["fake/loss", "fake/norm", "student/loss"];
        let curves = terms.map(|term| (term.to_owned(), Vec::new())).into();
        assert_eq!(colors(&curves), [COLORS[0], COLORS[0], COLORS[1]]);
    }

    #[test]
    fn tick_marks_are_short() {
        assert_eq!([0.25, -1.5, 1e-17].map(|value| rounded(value, 2.0)), ["0.2", "-1.5", "0"]);
        assert_eq!(rounded(0.0015, 0.004), "0.0015");
        assert_eq!(rounded(2.5e6, 1e7), "2.5e6");
        assert_eq!(
            [1e-5, 0.01, 1.0, 100.0].map(|v| power_of_ten(&v)),
            ["1e-5", "0.01", "1", "100"]
        );
    }
}
