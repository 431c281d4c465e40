//! Built-in pictures: colored shapes, drawn on demand.

use crate::{Image, ImageSource, Info, Result};
use diffusion_core::{Noise, NoiseState};
use std::f64::consts::SQRT_2;

/// Red, green, blue, yellow.
const COLORS: [[f64; 3]; 4] =
    [[235.0, 52.0, 52.0], [52.0, 205.0, 88.0], [58.0, 112.0, 250.0], [248.0, 212.0, 48.0]];
const SHAPES: [Shape; 3] = [Shape::Circle, Shape::Square, Shape::Triangle];
/// Every pixel is the mean of this many samples a side.
const SAMPLES: u32 = 4;

#[derive(Debug, Clone, Copy)]
enum Shape {
    Circle,
    Square,
    Triangle,
}

/// Circles, squares and triangles in red, green, blue and yellow on a near-black background, in twelve classes.
///
/// A data set that needs no file, for examples, tests and first experiments: small networks learn it in a minute, and
/// one sees at a glance whether a generator got shape, color and variety right. Position, size, rotation, brightness
/// and background vary. Class `4 · shape + color`; image `i` has class `i mod 12` and is a pure function of the seed and
/// `i`, the same on every machine. Nothing is stored, so any length costs the same. Use another seed for test images.
///
/// # Example
/// ```
/// use datasets::{ImageSource, Shapes};
/// let shapes = Shapes::new(16, 1000, 0);
/// assert_eq!((shapes.len(), shapes.classes(), shapes.shape()), (1000, 12, (3, 16, 16)));
/// assert_eq!(shapes.class_name(6), "blue square");
/// ```
#[derive(Debug, Clone)]
pub struct Shapes {
    info: Info,
    noise: NoiseState,
}

impl Shapes {
    /// `len` pictures of `size` by `size` pixels.
    ///
    /// # Panics
    /// If `size` is 0.
    pub fn new(size: u32, len: usize, seed: u64) -> Self {
        assert!(size > 0, "pictures of 0 pixels cannot be drawn");
        let classes = SHAPES.len() * COLORS.len();
        let info = Info { name: "shapes".into(), len, classes, shape: (3, size, size) };
        Self { info, noise: Noise::new(seed).stream("shapes").state() }
    }

    /// What is on the pictures of a class.
    ///
    /// # Panics
    /// If `class` is not in `0..12`.
    pub fn class_name(&self, class: usize) -> String {
        let shape = ["circle", "square", "triangle"][class / 4];
        format!("{} {shape}", ["red", "green", "blue", "yellow"][class % 4])
    }

    fn picture(&self, index: usize) -> Picture {
        const LEVELS: u64 = 1 << 24;
        let draw = index as u64;
        let draws = Noise::from_state(NoiseState { draw, ..self.noise }).integers(8, LEVELS);
        let mut units = draws.into_iter().map(|value| value as f64 / LEVELS as f64);
        let mut between =
            |low: f64, high: f64| low + (high - low) * units.next().expect("eight values");

        let class = index % self.info.classes;
        let (shape, color) = (SHAPES[class / COLORS.len()], COLORS[class % COLORS.len()]);
        let radius = between(0.52, 0.72);
        let free = (0.94 - radius * shape.extent()).min(0.34);
        let center = (between(-free, free), between(-free, free));
        let angle = between(-1.0, 1.0) * shape.max_angle();
        let brightness = between(0.88, 1.0);
        let background = [between(8.0, 20.0), between(8.0, 20.0), between(10.0, 26.0)];
        let color = color.map(|value| value * brightness);
        Picture { shape, center, radius, angle: libm::sincos(angle), color, background }
    }
}

impl Shape {
    /// How far the shape reaches from its center, in radii, however it is turned.
    fn extent(self) -> f64 {
        match self {
            Self::Circle => 1.0,
            Self::Square => 1.08,
            Self::Triangle => 1.28,
        }
    }

    /// Largest rotation, in radians.
    fn max_angle(self) -> f64 {
        match self {
            Self::Circle => 0.0,
            Self::Square | Self::Triangle => 0.22,
        }
    }

    /// How far a point, in radii from the center, `y` downward, is outside; negative inside.
    ///
    /// The distance to the nearest side: exact inside and a lower bound outside. The square and the triangle are sized
    /// so that all three shapes look equally large.
    fn distance(self, x: f64, y: f64) -> f64 {
        match self {
            Self::Circle => (x * x + y * y).sqrt() - 1.0,
            Self::Square => x.abs().max(y.abs()) - 0.9,
            Self::Triangle => {
                // Equilateral, point up: 0.866… is the sine of 60 degrees.
                let slanted = 0.866_025_403_784_438_6 * x.abs() - 0.5 * y;
                y.max(slanted) - 0.64
            }
        }
    }
}

/// One picture, in coordinates from -1 to 1, `y` downward.
struct Picture {
    shape: Shape,
    center: (f64, f64),
    radius: f64,
    /// Sine and cosine of the rotation.
    angle: (f64, f64),
    color: [f64; 3],
    background: [f64; 3],
}

impl Picture {
    /// How far a point is outside the shape; negative inside.
    fn distance(&self, x: f64, y: f64) -> f64 {
        let (x, y) = ((x - self.center.0) / self.radius, (y - self.center.1) / self.radius);
        let (sin, cos) = self.angle;
        self.radius * self.shape.distance(cos * x + sin * y, cos * y - sin * x)
    }

    /// How much of each pixel the shape covers, from 0 to 1.
    fn coverage(&self, size: u32) -> Vec<f64> {
        (0..size).flat_map(|y| (0..size).map(move |x| self.pixel_coverage(size, x, y))).collect()
    }

    fn pixel_coverage(&self, size: u32, x: u32, y: u32) -> f64 {
        let position =
            |pixel: u32, within: f64| (f64::from(pixel) + within) * 2.0 / f64::from(size) - 1.0;
        let center = self.distance(position(x, 0.5), position(y, 0.5));
        let half_diagonal = SQRT_2 / f64::from(size);
        if center.abs() > half_diagonal {
            return if center < 0.0 { 1.0 } else { 0.0 }; // no side of the shape runs through the pixel
        }
        let sample = |i: u32| (f64::from(i) + 0.5) / f64::from(SAMPLES);
        let samples = (0..SAMPLES).flat_map(|j| (0..SAMPLES).map(move |i| (sample(i), sample(j))));
        let inside = samples
            .filter(|&(dx, dy)| self.distance(position(x, dx), position(y, dy)) <= 0.0)
            .count();
        inside as f64 / f64::from(SAMPLES * SAMPLES)
    }

    fn draw(&self, size: u32) -> Image {
        let coverage = self.coverage(size);
        let channel = |c: usize| {
            let (front, back) = (self.color[c], self.background[c]);
            coverage.iter().map(move |&cover| (back + (front - back) * cover).round() as u8)
        };
        Image { channels: 3, height: size, width: size, data: (0..3).flat_map(channel).collect() }
    }
}

impl ImageSource for Shapes {
    fn info(&self) -> &Info {
        &self.info
    }

    fn image(&self, index: usize) -> Result<Image> {
        assert!(index < self.info.len, "picture {index} of {}", self.info.len);
        Ok(self.picture(index).draw(self.info.shape.1))
    }

    fn label(&self, index: usize) -> Option<i64> {
        Some((index % self.info.classes) as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_depends_on_seed_and_index_alone() {
        let (a, b) = (Shapes::new(16, 50, 3), Shapes::new(16, 5000, 3));
        assert_eq!(a.image(49).unwrap(), b.image(49).unwrap());
        assert_ne!(a.image(49).unwrap(), Shapes::new(16, 50, 4).image(49).unwrap());
        assert_ne!(a.image(0).unwrap(), a.image(12).unwrap());
    }

    #[test]
    fn every_shape_lies_within_the_picture_and_fills_a_fair_part_of_it() {
        let shapes = Shapes::new(32, 600, 1);
        for index in 0..600 {
            let coverage = shapes.picture(index).coverage(32);
            let area = coverage.iter().sum::<f64>() / 1024.0;
            assert!((0.1..0.5).contains(&area), "picture {index} covers {area}");
            let border = (0..32).flat_map(|i| [i, 31 * 32 + i, 32 * i, 32 * i + 31]);
            assert!(
                border.map(|i| coverage[i]).all(|cover| cover < 0.1),
                "picture {index} is cut off"
            );
        }
    }

    #[test]
    fn the_pixels_inside_have_the_color_of_the_class() {
        let shapes = Shapes::new(16, 240, 9);
        for index in 0..240 {
            let (image, coverage) =
                (shapes.image(index).unwrap(), shapes.picture(index).coverage(16));
            for pixel in (0..256).filter(|&pixel| coverage[pixel] > 0.99) {
                let [r, g, b] = [0, 1, 2].map(|c| image.data[c * 256 + pixel]);
                let color = match index % 4 {
                    0 => r > 190 && g < 60 && b < 60,
                    1 => g > 170 && r < 60 && b < 100,
                    2 => b > 200 && r < 60,
                    _ => r > 200 && g > 170 && b < 60,
                };
                assert!(color, "picture {index}: {r} {g} {b}");
            }
        }
    }
}
