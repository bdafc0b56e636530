//! A contact sheet of one clip, to look at: frames with the face's box and points, and the mouth crops below them.
//!
//! The PNG file says where on it its pictures are, in a text chunk of the keyword [`KEYWORD`]: a JSON list of columns in
//! the order of time, `{"frame": 8, "picture": [left, top, width, height], "mouth": [left, top, width, height]}` in
//! pixels, `mouth` null where none was cut.

use crate::media::frame::Frame;
use crate::media::resize::opencv_resize;
use crate::streams::mouthing::crop::CROP;
use crate::streams::mouthing::gaps::{self, Seen};
use crate::streams::mouthing::landmarks::crop::CropBox;
use opencv::core::{Mat, Point, Rect, Scalar};
use opencv::imgproc;
use opencv::prelude::*;
use signclip_common::{Error, Result};

/// Keyword of the text chunk that says where the pictures are.
const KEYWORD: &str = "SignClip columns";

/// Frames on a sheet at the most; they are spread evenly over the clip.
const COLUMNS: usize = 12;
const IN_A_ROW: usize = 6;

/// Largest width and height of a frame on the sheet; height of the line of text below it.
const WIDTH: usize = 240;
const HEIGHT: usize = 240;
const LINE: usize = 18;
const MARGIN: usize = 6;

const BACKGROUND: [u8; 3] = [24, 24, 28];
const INK: [u8; 3] = [225, 225, 225];
const BOX: [u8; 3] = [255, 200, 60];
const POINT: [u8; 3] = [80, 230, 255];
const MISSED: [u8; 3] = [255, 110, 110];

/// A sheet in the making.
pub struct Sheet {
    columns: Vec<Column>,
    /// Every so many frames there is a column.
    stride: usize,
}

/// A frame at the sheet's size, with what belongs to it.
struct Column {
    number: usize,
    picture: Frame,
    /// Pixels of the sheet for one of the frame.
    scale: f32,
    bounds: Option<[f32; 4]>,
    /// Whether there was a mouth; points may be interpolated nevertheless.
    seen: Seen,
    points: Vec<[f32; 2]>,
    mouth: Option<Mouth>,
}

/// What lies below a frame.
struct Mouth {
    crop: Frame,
    /// The face enlarged, and where its upper left corner and how large one of its pixels is in the frame.
    face: Frame,
    corner: [f32; 2],
    pixel: f32,
}

impl Default for Sheet {
    fn default() -> Self {
        Self { columns: Vec::new(), stride: 1 }
    }
}

impl Sheet {
    /// The next frame of the clip, the face's box, and whether its mouth was found.
    pub fn frame(
        &mut self,
        number: usize,
        frame: &Frame,
        bounds: Option<[f32; 4]>,
        seen: Seen,
    ) -> Result<()> {
        if !number.is_multiple_of(self.stride) {
            return Ok(());
        }
        if self.columns.len() == COLUMNS {
            self.stride *= 2;
            self.columns.retain(|column| column.number.is_multiple_of(self.stride));
            if !number.is_multiple_of(self.stride) {
                return Ok(());
            }
        }
        let fit = |room: usize, size: usize| room as f32 / size.max(1) as f32;
        let scale = fit(WIDTH, frame.width).min(fit(HEIGHT, frame.height));
        let size = |size: usize| ((size as f32 * scale).round() as usize).max(1);
        let picture = opencv_resize(frame, size(frame.width), size(frame.height), imgproc::INTER_AREA)?;
        self.columns.push(Column { number, picture, scale, bounds, seen, points: Vec::new(), mouth: None });
        Ok(())
    }

    /// Points and mouth crop of a frame that may have a column.
    pub fn mouth(&mut self, number: usize, frame: &Frame, points: &[[f64; 2]], crop: &Frame) -> Result<()> {
        let Some(column) = self.columns.iter_mut().find(|column| column.number == number) else {
            return Ok(());
        };
        column.points = points.iter().map(|p| p.map(|v| v as f32)).collect();
        let ends = |axis: usize| {
            let values = column.points.iter().map(|p| p[axis]);
            values.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
        };
        let ((left, right), (top, bottom)) = (ends(0), ends(1));
        let side = (1.5 * (right - left).max(bottom - top)).clamp(8.0, 8192.0);
        let corner =
            [(left + right - side) / 2.0, (top + bottom - side) / 2.0].map(|v| v.clamp(-1e6, 1e6).round());
        let [x, y] = corner.map(|v| v as i64);
        let bounds = CropBox { left: x, top: y, right: x + side as i64, bottom: y + side as i64 };
        let face = bounds.cut(frame, CROP)?;
        let pixel = side.floor() / CROP as f32;
        column.mouth = Some(Mouth { crop: crop.clone(), face, corner, pixel });
        Ok(())
    }

    /// Height of the tallest frame on the sheet; width and height that a column takes.
    fn cell(&self) -> (usize, [usize; 2]) {
        let tallest = self.columns.iter().map(|c| c.picture.height).max().unwrap_or(HEIGHT);
        let widest =
            self.columns.iter().map(|c| c.picture.width).max().unwrap_or(WIDTH).max(2 * CROP + MARGIN);
        (tallest, [widest + MARGIN, tallest + LINE + CROP + 2 * MARGIN])
    }

    /// Left upper corner of a column's frame, and of its mouth crop.
    fn corners(&self, index: usize) -> [[usize; 2]; 2] {
        let (tallest, cell) = self.cell();
        let left = MARGIN + index % IN_A_ROW * cell[0];
        let top = LINE + 2 * MARGIN + index / IN_A_ROW * cell[1];
        [[left, top], [left, top + tallest + LINE]]
    }

    /// Where the pictures are, as [`KEYWORD`] has it.
    fn places(&self) -> serde_json::Value {
        let place = |[left, top]: [usize; 2], frame: &Frame| [left, top, frame.width, frame.height];
        let columns = self.columns.iter().enumerate().map(|(index, column)| {
            let [picture, mouth] = self.corners(index);
            let mouth = column.mouth.as_ref().map(|cut| place(mouth, &cut.crop));
            serde_json::json!({ "frame": column.number, "picture": place(picture, &column.picture), "mouth": mouth })
        });
        columns.collect()
    }

    /// The finished sheet under a line of text. Frames in `gaps` are framed, and say how long the gap is.
    pub fn draw(&self, title: &str, gaps: &[[usize; 2]]) -> Result<Frame> {
        let rows = self.columns.len().div_ceil(IN_A_ROW).max(1);
        let (tallest, cell) = self.cell();
        let across = self.columns.len().clamp(1, IN_A_ROW);
        let size = [(across * cell[0] + MARGIN).max(480), rows * cell[1] + LINE + 2 * MARGIN];
        let mut sheet = Frame::filled(size[0], size[1], BACKGROUND);
        let mut marks = Vec::new();
        marks.push(Mark::Text(MARGIN, MARGIN + LINE - 5, title.to_owned(), INK));
        for (index, column) in self.columns.iter().enumerate() {
            let [[left, top], _] = self.corners(index);
            paste(&mut sheet, &column.picture, left, top);
            let on_sheet = |[x, y]: [f32; 2]| {
                [left as f32 + x * column.scale, top as f32 + y * column.scale].map(|v| v.round() as i32)
            };
            let below = top + tallest;
            if let Some([x1, y1, x2, y2]) = column.bounds {
                marks.push(Mark::Box(on_sheet([x1, y1]), on_sheet([x2, y2]), BOX));
            }
            let number = column.number;
            let gap = gaps.iter().find(|[first, last]| (*first..=*last).contains(&number));
            let (mut text, ink) = match column.seen {
                Seen::NoFace => (format!("{number} no face"), MISSED),
                Seen::Outside => (format!("{number} mouth outside"), MISSED),
                Seen::Mouth | Seen::NotLooked => (number.to_string(), gap.map_or(INK, |_| MISSED)),
            };
            if let Some(gap) = gap {
                text += &format!(", gap of {:.1} s", gaps::seconds(*gap));
                let corner = [left, top].map(|v| v as i32);
                let size = [column.picture.width, column.picture.height].map(|v| v as i32);
                marks.push(Mark::Box(corner, [corner[0] + size[0], corner[1] + size[1]], MISSED));
            }
            marks.push(Mark::Text(left, below + LINE - 5, text, ink));
            if let Some(mouth) = &column.mouth {
                let beside = left + CROP + MARGIN;
                paste(&mut sheet, &mouth.crop, left, below + LINE);
                paste(&mut sheet, &mouth.face, beside, below + LINE);
                let enlarged = |[x, y]: &[f32; 2]| {
                    let place =
                        [x - mouth.corner[0], y - mouth.corner[1]].map(|v| (v / mouth.pixel).round() as i32);
                    Mark::Point([beside as i32 + place[0], (below + LINE) as i32 + place[1]])
                };
                marks.extend(column.points.iter().map(enlarged));
            }
        }
        draw(&mut sheet, &marks)?;
        Ok(sheet)
    }

    /// The finished sheet as the bytes of a PNG file.
    pub fn png(&self, title: &str, gaps: &[[usize; 2]]) -> Result<Vec<u8>> {
        let sheet = self.draw(title, gaps)?;
        let failed = |e: png::EncodingError| {
            Error::usage(format!("the contact sheet cannot be written as PNG: {e}"), "report it, please")
        };
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, sheet.width as u32, sheet.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.add_text_chunk(KEYWORD.to_owned(), self.places().to_string()).map_err(failed)?;
        let mut writer = encoder.write_header().map_err(failed)?;
        writer.write_image_data(&sheet.rgb).map_err(failed)?;
        writer.finish().map_err(failed)?;
        Ok(bytes)
    }
}

/// Something drawn over the pictures, in pixels of the sheet.
enum Mark {
    Box([i32; 2], [i32; 2], [u8; 3]),
    Point([i32; 2]),
    Text(usize, usize, String, [u8; 3]),
}

fn paste(sheet: &mut Frame, picture: &Frame, left: usize, top: usize) {
    for (y, row) in picture.rgb.chunks_exact(picture.width * 3).enumerate() {
        let start = ((top + y) * sheet.width + left) * 3;
        sheet.rgb[start..start + row.len()].copy_from_slice(row);
    }
}

fn draw(sheet: &mut Frame, marks: &[Mark]) -> Result<()> {
    let (width, height) = (sheet.width as i32, sheet.height as i32);
    let colour = |[r, g, b]: [u8; 3]| Scalar::new(r.into(), g.into(), b.into(), 0.0);
    let mut attempt = || -> opencv::Result<()> {
        let mut flat = Mat::new_rows_cols_with_data_mut(height, width * 3, &mut sheet.rgb)?;
        let mut image = flat.reshape_mut(3, height)?;
        for mark in marks {
            match mark {
                // A box may reach far beyond the picture; the line is cut at the sheet's edge.
                Mark::Box([x1, y1], [x2, y2], ink) => {
                    let bounds = Rect::new(*x1, *y1, x2 - x1, y2 - y1) & Rect::new(0, 0, width, height);
                    imgproc::rectangle(&mut image, bounds, colour(*ink), 1, imgproc::LINE_8, 0)?;
                }
                Mark::Point([x, y]) => {
                    let centre = Point::new(*x, *y);
                    imgproc::circle(
                        &mut image,
                        centre,
                        1,
                        colour(POINT),
                        imgproc::FILLED,
                        imgproc::LINE_AA,
                        0,
                    )?;
                }
                Mark::Text(x, y, text, ink) => {
                    let place = Point::new(*x as i32, *y as i32);
                    let font = imgproc::FONT_HERSHEY_SIMPLEX;
                    imgproc::put_text(
                        &mut image,
                        text,
                        place,
                        font,
                        0.42,
                        colour(*ink),
                        1,
                        imgproc::LINE_AA,
                        false,
                    )?;
                }
            }
        }
        Ok(())
    };
    attempt().map_err(|e| Error::usage(format!("OpenCV cannot draw: {}", e.message), "report it, please"))
}
