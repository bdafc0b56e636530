//! The features of one clip in one stream, as others saved them: a NumPy file `[rows, dim]` of float16 or float32.

use crate::numpy::{LONGEST_HEADER, parse_header};
use half::f16;
use npyz::{DType, Order};
use signclip_common::regular_file;
use signclip_common::store::StoreDtype;
use signclip_common::{Error, Result};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The most bytes of such a file: two hours of spatial features in float32.
const LONGEST: u64 = 2 << 30;

/// What is accepted, for messages.
const WANTED: &str =
    "features are a NumPy array [rows, dim] of float16 or float32 in C order, one file for each clip";

/// A file whose header has been read.
#[derive(Debug, Clone)]
pub struct ArrayFile {
    pub path: PathBuf,
    pub rows: usize,
    pub dim: usize,
    pub dtype: StoreDtype,
    /// Where the values begin.
    start: usize,
    /// Size and modification time (seconds since 1970) of the file.
    pub bytes: u64,
    pub mtime: u64,
}

impl ArrayFile {
    /// Read the header. Errors: no file; no array of features; no row; a file that is shorter or longer than its header says.
    pub fn open(path: &Path) -> Result<Self> {
        let file = regular_file::open(path).map_err(Error::io(path))?;
        let metadata = file.metadata().map_err(Error::io(path))?;
        let mut head = Vec::new();
        file.take(LONGEST_HEADER as u64).read_to_end(&mut head).map_err(Error::io(path))?;
        let (header, start) = parse_header(path, &head)?;
        let refused = |field: &str, what: String| Error::input(path, field, what, WANTED);
        let shape = header.shape();
        if shape.contains(&0) {
            let what = format!("{shape:?}: the array is empty");
            return Err(Error::input(path, "shape", what, "make the features of this clip again"));
        }
        let &[rows, dim] = shape else {
            return Err(refused("shape", format!("{shape:?} instead of [rows, dim]")));
        };
        let dtype = match header.dtype() {
            DType::Plain(plain) => match plain.to_string().as_str() {
                "<f2" => Some(StoreDtype::F16),
                "<f4" => Some(StoreDtype::F32),
                _ => None,
            },
            _ => None,
        };
        let Some(dtype) = dtype else {
            return Err(refused("dtype", format!("the numbers are {}", header.dtype().descr())));
        };
        if header.order() != Order::C {
            let remedy = "save numpy.ascontiguousarray of the array";
            return Err(Error::input(path, "header", "the array is in Fortran order", remedy));
        }
        let wanted = u128::from(rows) * u128::from(dim) * dtype.bytes() as u128 + start as u128;
        if wanted != u128::from(metadata.len()) || metadata.len() > LONGEST {
            let what = format!("{} bytes where its header makes {wanted}", metadata.len());
            return Err(Error::input(path, "length", what, "write or copy the file again"));
        }
        Ok(Self {
            path: path.to_path_buf(),
            rows: rows as usize,
            dim: dim as usize,
            dtype,
            start,
            bytes: metadata.len(),
            mtime: u64::try_from(metadata.mtime()).unwrap_or(0),
        })
    }

    /// The values, row-major `[rows, dim]`. Errors: one that is not finite; the file has changed since it was opened.
    pub fn read(&self) -> Result<Vec<f32>> {
        let bytes =
            regular_file::read_from(&self.path, self.start as u64, LONGEST).map_err(Error::io(&self.path))?;
        if bytes.len() != self.rows * self.dim * self.dtype.bytes() {
            return Err(Error::input(&self.path, "length", "it has changed meanwhile", "import it again"));
        }
        let values: Vec<f32> = match self.dtype {
            StoreDtype::F16 => bytes.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32()).collect(),
            StoreDtype::F32 => bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
        };
        match values.iter().position(|x| !x.is_finite()) {
            None => Ok(values),
            Some(at) => {
                let (row, value) = (at / self.dim, values[at]);
                let remedy = "make the features of this clip again";
                Err(Error::input(&self.path, format!("row {row}"), format!("the value {value}"), remedy))
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    /// A file as NumPy writes it, with this header text and payload.
    fn open(text: &str, payload: &[u8]) -> Result<Vec<f32>> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let text = format!("{text:117}\n");
        let bytes =
            [b"\x93NUMPY\x01\x00".as_slice(), &(text.len() as u16).to_le_bytes(), text.as_bytes(), payload];
        std::fs::write(file.path(), bytes.concat()).expect("written");
        ArrayFile::open(file.path())?.read()
    }

    fn header(descr: &str, order: &str, shape: &str) -> String {
        format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}")
    }

    #[test]
    fn both_types_are_read() {
        let singles = [1.5_f32, -2.0, 0.25, 65504.0];
        let bytes: Vec<u8> = singles.iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(open(&header("<f4", "False", "(2, 2)"), &bytes).expect("values"), singles);
        let halves: Vec<u8> = singles.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect();
        assert_eq!(open(&header("<f2", "False", "(1, 4)"), &halves).expect("values"), singles);
    }

    #[test]
    fn what_is_refused() {
        let nan: Vec<u8> = [0.0, f32::NAN].iter().flat_map(|x| x.to_le_bytes()).collect();
        for (header, payload, part) in [
            (header("<f4", "False", "(0, 4)"), &[][..], "the array is empty"),
            // numpy.save of an empty list, which SpaMo's script writes where a video could not be read.
            (header("<f8", "False", "(0,)"), &[], "the array is empty"),
            (header("<f4", "False", "(2,)"), &[0; 8], "instead of [rows, dim]"),
            (header("<f8", "False", "(1, 1)"), &[0; 8], "the numbers are '<f8'"),
            (header(">f4", "False", "(1, 1)"), &[0; 4], "the numbers are '>f4'"),
            (header("<f4", "True", "(2, 2)"), &[0; 16], "Fortran order"),
            (header("<f4", "False", "(2, 2)"), &[0; 12], "140 bytes where its header makes 144"),
            (header("<f4", "False", "(2, 2)"), &[0; 20], "148 bytes where its header makes 144"),
            (header("<f4", "False", "(9999999999, 9999999999)"), &[0; 16], "bytes where its header makes"),
            (header("<f4", "False", "(2, 1)"), &nan, "row 1: the value NaN"),
            ("no header".to_owned(), &[], "header"),
        ] {
            let refused = open(&header, payload).expect_err(part).to_string();
            assert!(refused.contains(part), "{header}: {refused}");
        }
    }
}
