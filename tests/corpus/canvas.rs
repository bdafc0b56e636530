//! The sheet that a frame is drawn on: antialiased shapes by OpenCV at twice the size of the frame, in stage
//! coordinates with sub-pixel places, then averaged down. One picture element of the frame is the mean of four
//! of the canvas, so that a hand that moves by a third of a pixel changes the picture, as it does in a video.

use anyhow::Result;
use opencv::core::{CV_8UC3, Mat, MatTraitConst, MatTraitConstManual, Point as Pixel, Scalar, Size, Vector};
use opencv::imgproc;

use crate::geometry::Point;

/// Canvas pixels per frame pixel.
const OVERSAMPLING: f32 = 2.0;
/// Fraction bits of OpenCV's fixed-point coordinates.
const SHIFT: i32 = 4;
const LINE: i32 = imgproc::LINE_AA;

/// Red, green, blue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Colour(pub(crate) [f32; 3]);

impl Colour {
    /// Darker below 1, lighter above.
    pub(crate) fn times(self, factor: f32) -> Colour {
        Colour(self.0.map(|channel| (channel * factor).min(255.0)))
    }

    fn scalar(self) -> Scalar {
        let [red, green, blue] = self.0.map(f64::from);
        Scalar::new(red, green, blue, 0.0)
    }
}

/// Where the stage lies in the frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Camera {
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// Frame pixels per unit of the stage.
    pub(crate) scale: f32,
    /// Frame place of the stage's origin.
    pub(crate) origin: Point,
}

impl Camera {
    /// In pixels of the frame; the centre of the first pixel is (0, 0), as landmark detectors count.
    pub(crate) fn frame_place(&self, point: Point) -> Point {
        point * self.scale + self.origin
    }
}

/// The light of one clip: brightness per channel, and how much brighter the left edge is than the right one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Light {
    pub(crate) channels: [f32; 3],
    pub(crate) slope: f32,
    /// Strength of the noise, in grey levels.
    pub(crate) grain: i32,
}

pub(crate) struct Canvas {
    camera: Camera,
    background: Mat,
    sheet: Mat,
    /// Per column and channel: light / 4 (for the mean of four pixels), in 1/4096.
    gains: Vec<[u32; 3]>,
    grain: i32,
}

impl Canvas {
    /// A canvas whose background blends from `top` to `bottom`.
    pub(crate) fn new(camera: Camera, top: Colour, bottom: Colour, light: Light) -> Result<Self> {
        let size = Size::new(
            (camera.width as f32 * OVERSAMPLING) as i32,
            (camera.height as f32 * OVERSAMPLING) as i32,
        );
        let mut background = Mat::new_size_with_default(size, CV_8UC3, Scalar::all(0.0))?;
        for row in 0..size.height {
            let share = row as f32 / size.height as f32;
            let mut colour = top;
            for (channel, target) in colour.0.iter_mut().zip(bottom.0) {
                *channel += (target - *channel) * share;
            }
            let (left, right) = (Pixel::new(0, row), Pixel::new(size.width - 1, row));
            imgproc::line(&mut background, left, right, colour.scalar(), 1, imgproc::LINE_8, 0)?;
        }
        let gains = (0..camera.width)
            .map(|column| {
                let side = 1.0 + light.slope * (0.5 - column as f32 / camera.width as f32);
                light.channels.map(|channel| (channel * side * 1024.0) as u32)
            })
            .collect();
        Ok(Self { camera, sheet: background.try_clone()?, background, gains, grain: light.grain })
    }

    pub(crate) fn camera(&self) -> &Camera {
        &self.camera
    }

    pub(crate) fn clear(&mut self) -> Result<()> {
        Ok(self.background.copy_to(&mut self.sheet)?)
    }

    fn pixel(&self, point: Point) -> Pixel {
        // The mean of the canvas pixels 2p and 2p + 1 is frame pixel p: frame place p is canvas place 2p + 0.5.
        let place = self.camera.frame_place(point) * OVERSAMPLING;
        let fixed = |value: f32| ((value + 0.5) * (1 << SHIFT) as f32).round() as i32;
        Pixel::new(fixed(place.x), fixed(place.y))
    }

    fn pixels(&self, points: &[Point]) -> Vector<Pixel> {
        points.iter().map(|&point| self.pixel(point)).collect()
    }

    fn length(&self, length: f32) -> f32 {
        length * self.camera.scale * OVERSAMPLING
    }

    pub(crate) fn polygon(&mut self, points: &[Point], colour: Colour) -> Result<()> {
        let outlines = Vector::<Vector<Pixel>>::from_iter([self.pixels(points)]);
        imgproc::fill_poly(&mut self.sheet, &outlines, colour.scalar(), LINE, SHIFT, Pixel::new(0, 0))?;
        Ok(())
    }

    /// An open line through `points` with round ends.
    pub(crate) fn stroke(&mut self, points: &[Point], width: f32, colour: Colour) -> Result<()> {
        let lines = Vector::<Vector<Pixel>>::from_iter([self.pixels(points)]);
        let width = (self.length(width).round() as i32).max(1);
        imgproc::polylines(&mut self.sheet, &lines, false, colour.scalar(), width, LINE, SHIFT)?;
        Ok(())
    }

    pub(crate) fn disc(&mut self, centre: Point, radius: f32, colour: Colour) -> Result<()> {
        self.ellipse(centre, Point { x: radius, y: radius }, 0.0, colour)
    }

    pub(crate) fn ellipse(&mut self, centre: Point, radii: Point, turn: f32, colour: Colour) -> Result<()> {
        let fixed = |value: f32| ((self.length(value) * (1 << SHIFT) as f32).round() as i32).max(1);
        let axes = Size::new(fixed(radii.x), fixed(radii.y));
        let centre = self.pixel(centre);
        let turn = f64::from(turn);
        imgproc::ellipse(
            &mut self.sheet,
            centre,
            axes,
            turn,
            0.0,
            360.0,
            colour.scalar(),
            imgproc::FILLED,
            LINE,
            SHIFT,
        )?;
        Ok(())
    }

    /// A limb: two round ends of different thickness and what lies between them.
    pub(crate) fn limb(&mut self, ends: [Point; 2], radii: [f32; 2], colour: Colour) -> Result<()> {
        let along = ends[1] - ends[0];
        let across = Point { x: -along.y, y: along.x } * (1.0 / along.length().max(0.01));
        let corners = [
            ends[0] + across * radii[0],
            ends[1] + across * radii[1],
            ends[1] - across * radii[1],
            ends[0] - across * radii[0],
        ];
        self.polygon(&corners, colour)?;
        self.disc(ends[0], radii[0], colour)?;
        self.disc(ends[1], radii[1], colour)
    }

    /// The finished frame, 8-bit RGB rows: averaged down, lit, and with the mild noise of a camera.
    pub(crate) fn frame(&self, noise: &mut crate::random::Random) -> Result<Vec<u8>> {
        let sheet = self.sheet.data_bytes()?;
        let (width, height) = (self.camera.width, self.camera.height);
        let pitch = width * 2 * 3;
        let mut frame = Vec::with_capacity(width * height * 3);
        let (mut bits, mut bits_left) = (0u64, 0);
        for row in 0..height {
            let upper = &sheet[2 * row * pitch..][..pitch];
            let lower = &sheet[(2 * row + 1) * pitch..][..pitch];
            for ((up, low), gains) in
                upper.as_chunks::<6>().0.iter().zip(lower.as_chunks::<6>().0).zip(&self.gains)
            {
                if bits_left == 0 {
                    (bits, bits_left) = (noise.next(), 16);
                }
                // Grey noise of one step or none: what is left of sensor noise after a broadcast codec.
                let grain =
                    self.grain * [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1, -1, 1, 1][(bits & 15) as usize];
                (bits, bits_left) = (bits >> 4, bits_left - 1);
                for channel in 0..3 {
                    let sum = u32::from(up[channel])
                        + u32::from(up[channel + 3])
                        + u32::from(low[channel])
                        + u32::from(low[channel + 3]);
                    let lit = (sum * gains[channel] + 2048) >> 12;
                    frame.push((lit as i32 + grain).clamp(0, 255) as u8);
                }
            }
        }
        Ok(frame)
    }
}
