//! Points of the face, found by a network or read from a file.

use signclip_common::regular_file;
use std::io::Read;
use std::path::Path;

use crate::numpy::{LONGEST_HEADER, parse_header};
use npyz::{DType, NpyFile, Order, TypeChar};
use signclip_common::torch_file::{Array, read_arrays};
use signclip_common::{Error, Result};

/// Points of a face in the iBUG order.
pub const POINTS: usize = 68;

/// The points of one face, x and y in pixels of the frame.
pub type Points<const N: usize> = [[f32; 2]; N];

/// Numbers of one frame.
const VALUES: usize = POINTS * 2;

/// Largest coordinate that can be meant seriously: pictures have at most 8192² pixels, and a point may lie outside.
const FARTHEST: f32 = 1e6;

/// A longer file is not that of a clip: more than eleven hours at 25 frames a second.
const MOST_FRAMES: usize = 1 << 20;

/// The longest file of landmarks there can be, and the most that is read of one.
const LONGEST: u64 = (MOST_FRAMES * VALUES * 8 + LONGEST_HEADER) as u64;

/// Whether these points can be a face: all of them finite, in reach of a picture, and not all in one place.
pub fn usable(points: &[[f32; 2]]) -> bool {
    let in_reach = points.iter().flatten().all(|value| value.abs() <= FARTHEST);
    in_reach && points.iter().any(|point| point != &points[0])
}

/// The landmarks of a clip: a NumPy file of float32 or float64 `[frames, 68, 2]`. A frame with a NaN has no face; neither
/// has one whose points are all in one place (many programs write zeros for "none").
///
/// Or the list that AV-HuBERT's preparation pickles, `.pkl`: for each frame an array `[68, 2]` of any numbers, or `None`.
pub fn read_landmarks(path: &Path) -> Result<Vec<Option<Points<POINTS>>>> {
    let refused = |place: &str, what: String, remedy: &str| Error::input(path, place, what, remedy);
    let mut file = regular_file::open(path).map_err(Error::io(path))?;
    if file.metadata().map_err(Error::io(path))?.len() > LONGEST {
        let what = format!("longer than landmarks of {MOST_FRAMES} frames");
        return Err(refused("", what, "give one file for each clip"));
    }
    if path.extension().is_some_and(|ending| ending == "pkl") {
        return from_values(path, &pickled(path)?);
    }
    // The header decides before anything else is read.
    let mut bytes = Vec::new();
    Read::by_ref(&mut file).take(LONGEST_HEADER as u64).read_to_end(&mut bytes).map_err(Error::io(path))?;
    let (header, start) = parse_header(path, &bytes)?;
    file.take(LONGEST).read_to_end(&mut bytes).map_err(Error::io(path))?;
    let npy = NpyFile::with_header(header, &bytes[start..]);
    let remedy = "landmarks are [frames, 68, 2] in C order, float32 or float64";
    let shape = npy.shape().to_vec();
    if shape.len() != 3 || shape[1..] != [POINTS as u64, 2] {
        return Err(refused("shape", format!("{shape:?} instead of [frames, {POINTS}, 2]"), remedy));
    }
    if shape[0] > MOST_FRAMES as u64 {
        return Err(refused("shape", format!("{} frames", shape[0]), "give one file for each clip"));
    }
    if npy.order() != Order::C {
        let remedy = "save numpy.ascontiguousarray of the array";
        return Err(refused("header", "the array is in Fortran order".to_owned(), remedy));
    }
    let size = match npy.dtype() {
        DType::Plain(plain) if plain.type_char() == TypeChar::Float => plain.size_field() as usize,
        _ => 0,
    };
    let dtype = npy.dtype().descr();
    let other_type = |_| refused("dtype", format!("the numbers are {dtype}"), remedy);
    let values: Result<Vec<f32>, std::io::Error> = if size == 8 {
        let values = npy.data::<f64>().map_err(other_type)?;
        values.map(|value| value.map(|value| value as f32)).collect()
    } else {
        npy.data::<f32>().map_err(other_type)?.collect()
    };
    let again = "write or copy it again";
    let values =
        values.map_err(|_| refused("data", "the file ends before the last frame".to_owned(), again))?;
    if values.len() as u64 != shape[0] * VALUES as u64 || bytes.len() - start != values.len() * size {
        return Err(refused("data", "the file is longer than its header says".to_owned(), again));
    }
    from_values(path, &values)
}

/// The numbers of a pickled list, NaN for each frame without a face.
fn pickled(path: &Path) -> Result<Vec<f32>> {
    let frames = read_arrays(path)?;
    let mut values = Vec::with_capacity(frames.len().min(MOST_FRAMES) * VALUES);
    for (number, frame) in frames.into_iter().enumerate() {
        match frame {
            None => values.extend([f32::NAN; VALUES]),
            Some(Array { shape, values: frame }) if shape == [POINTS, 2] => {
                values.extend(frame.into_iter().map(|value| value as f32));
            }
            Some(Array { shape, .. }) => {
                let what = format!("{shape:?} instead of [{POINTS}, 2]");
                let remedy = "a frame is an array of 68 points, x and y in pixels, or None";
                return Err(Error::input(path, format!("frame {number}"), what, remedy));
            }
        }
    }
    Ok(values)
}

fn from_values(path: &Path, values: &[f32]) -> Result<Vec<Option<Points<POINTS>>>> {
    check_values(path, values)?;
    let (points, _) = values.as_chunks::<2>();
    let (points, _) = points.as_chunks::<POINTS>();
    Ok(points.iter().map(|points| usable(points).then_some(*points)).collect())
}

/// Refuse numbers that a face cannot have and and that are not NaN either.
fn check_values(path: &Path, values: &[f32]) -> Result<()> {
    if let Some(place) = values.iter().position(|value| value.abs() > FARTHEST) {
        let (frame, point) = (place / VALUES, place % VALUES / 2);
        let what = format!("the coordinate {} is far outside of any picture", values[place]);
        let remedy = "landmarks are in pixels; write NaN where a frame has no face";
        return Err(Error::input(path, format!("frame {frame}, point {point}"), what, remedy));
    }
    let mut seen = values.iter().filter(|value| !value.is_nan()).peekable();
    let largest = seen.clone().fold(0.0, |largest: f32, value| largest.max(*value));
    if seen.peek().is_some() && largest > 0.0 && largest <= 1.0 {
        let what = "all coordinates are between 0 and 1";
        let remedy = "landmarks are in pixels; multiply by width and height of the frame";
        return Err(Error::input(path, "", what, remedy));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use npyz::WriterBuilder;

    /// What reading an array of this shape and these values says.
    fn read<T: npyz::AutoSerialize>(
        shape: &[u64],
        values: impl IntoIterator<Item = T>,
    ) -> Result<Vec<Option<Points<POINTS>>>> {
        let mut bytes = Vec::new();
        let options = npyz::WriteOptions::new().default_dtype().shape(shape);
        let mut writer = options.writer(&mut bytes).begin_nd().expect("header");
        writer.extend(values).expect("values");
        writer.finish().expect("end");
        read_bytes(&bytes)
    }

    fn read_bytes(bytes: &[u8]) -> Result<Vec<Option<Points<POINTS>>>> {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        std::fs::write(file.path(), bytes).expect("write");
        read_landmarks(file.path())
    }

    fn refusal<T: std::fmt::Debug>(result: Result<T>) -> String {
        let message = result.expect_err("refused").to_string();
        assert!(!message.contains('\n') && message.contains(';'), "{message}");
        message
    }

    fn ramp(frames: usize) -> Vec<f32> {
        (0..frames * VALUES).map(|i| i as f32 * 0.5).collect()
    }

    #[test]
    fn both_float_types_and_missing_frames() {
        let mut values = ramp(4);
        values[VALUES + 17] = f32::NAN;
        values[2 * VALUES..3 * VALUES].fill(0.0);
        let clip = read(&[4, 68, 2], values.clone()).expect("float32");
        assert_eq!(clip.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, false, true]);
        assert_eq!(clip[3].expect("a face")[67], [values[4 * VALUES - 2], values[4 * VALUES - 1]]);
        let wide = read(&[4, 68, 2], values.into_iter().map(f64::from)).expect("float64");
        assert_eq!(wide, clip);
        let none = read(&[3, 68, 2], vec![f32::NAN; 3 * VALUES]).expect("all missing");
        assert_eq!(none, [None; 3]);
        assert_eq!(read(&[0, 68, 2], Vec::<f32>::new()).expect("no frames"), []);
    }

    #[test]
    fn another_shape_is_refused() {
        assert!(refusal(read(&[2, 2, 68], ramp(2))).contains("[2, 2, 68] instead of [frames, 68, 2]"));
        assert!(refusal(read(&[136], ramp(1))).contains("shape"));
        assert!(refusal(read(&[2, 68, 2], (0..2 * VALUES as i64).collect::<Vec<_>>())).contains("<i8"));
        let order = npyz::WriteOptions::new().default_dtype().shape(&[1, 68, 2]).order(Order::Fortran);
        let mut bytes = Vec::new();
        let mut writer = order.writer(&mut bytes).begin_nd().expect("header");
        writer.extend(ramp(1)).expect("values");
        writer.finish().expect("end");
        assert!(refusal(read_bytes(&bytes)).contains("Fortran"));
    }

    #[test]
    fn numbers_that_are_no_pixels_are_refused() {
        let mut values = ramp(3);
        values[VALUES + 9] = f32::INFINITY;
        let message = refusal(read(&[3, 68, 2], values));
        assert!(message.contains("frame 1, point 4") && message.contains("NaN"), "{message}");
        let shares = ramp(1).into_iter().map(|value| value / 100.0);
        assert!(refusal(read(&[1, 68, 2], shares)).contains("between 0 and 1"));
    }

    #[test]
    fn damaged_files_are_refused() {
        let mut bytes = Vec::new();
        let options = npyz::WriteOptions::new().default_dtype().shape(&[2, 68, 2]);
        let mut writer = options.writer(&mut bytes).begin_nd().expect("header");
        writer.extend(ramp(2)).expect("values");
        writer.finish().expect("end");
        for length in (0..bytes.len()).step_by(7) {
            refusal(read_bytes(&bytes[..length]));
        }
        refusal(read_bytes(&[&bytes[..], &[0]].concat()));
        refusal(read_bytes(b"PK\x03\x04 an npz archive"));
        let mut endless = bytes.clone();
        endless[6..12].copy_from_slice(&[2, 0, 255, 255, 255, 255]);
        refusal(read_bytes(&endless));
        // Any header is answered, also one that is deeply nested.
        let nested = [&b"\x93NUMPY\x01\x00\xf6\x03"[..], &[b'('; 1014]].concat();
        refusal(read_bytes(&nested));
        for (place, value) in (6..118).flat_map(|place| [0, b'(', b'9', 255].map(|value| (place, value))) {
            let mut mutated = bytes.clone();
            mutated[place] = value;
            let _ = read_bytes(&mutated);
        }
        assert!(refusal(read_landmarks(Path::new("no such.npy"))).contains("no such.npy"));
    }

    /// Found by random changes: the parser tried each bracket in two ways, and what is inside of it in each.
    #[test]
    fn brackets_inside_of_each_other_do_not_take_forever() {
        for bracket in [b'{', b'(', b'['] {
            let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
            bytes.resize(128, bracket);
            let begun = std::time::Instant::now();
            let error = parse_header(Path::new("x.npy"), &bytes).err().expect("no header").to_string();
            assert!(error.contains("brackets") && begun.elapsed().as_secs() < 5, "{error}");
        }
    }
}
