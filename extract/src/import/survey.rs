//! What is there to import, by the headers of all files: every clip's arrays, the one width of each stream, and the one
//! type of each store.

use super::array_file::ArrayFile;
use super::foreign::Foreign;
use crate::media::frame_folder;
use rayon::prelude::*;
use signclip_common::manifest::{Clip, Media};
use signclip_common::store::{Failure, RowRule, StoreDtype, StoreInfo};
use signclip_common::{Error, Result};
use std::path::{Path, PathBuf};

/// The features of one clip.
#[derive(Debug)]
pub struct Arrays {
    /// In the order of the streams.
    pub files: Vec<ArrayFile>,
    pub frames: usize,
    /// Whether no stream and no folder of pictures says how many frames there are; `frames` is the least number then.
    pub frames_unknown: bool,
}

/// What is there for a clip.
#[derive(Debug)]
pub enum Found {
    Arrays(Arrays),
    /// A file is not there, which does not matter where the clip is stored already.
    Gone(Failure),
    /// A file is no array of features; or rows contradict each other, or the clip's folder of pictures where that is there.
    Wrong(Failure),
}

impl Found {
    pub fn arrays(&self) -> Option<&Arrays> {
        match self {
            Self::Arrays(arrays) => Some(arrays),
            Self::Gone(_) | Self::Wrong(_) => None,
        }
    }
}

/// Reads the headers of a clip's files.
pub fn look(folder: &Path, streams: &[Foreign], clip: &Clip, splits: &[&str]) -> Found {
    let failed =
        |stage: &str, reason: String| Failure { id: clip.id.clone(), stage: stage.to_owned(), reason };
    let mut files = Vec::new();
    for stream in streams {
        let places = match stream.pattern.places(clip, splits) {
            Ok(places) => places.into_iter().map(|place| folder.join(place)).collect::<Vec<PathBuf>>(),
            Err(error) => return Found::Wrong(failed("open", error.to_string())),
        };
        let Some(place) = places.iter().find(|place| place.exists()) else {
            let what = format!("no such file, which would be the stream {}", stream.name);
            let remedy = "make the features of this clip, or correct the pattern";
            return Found::Gone(failed("open", Error::input(&places[0], "", what, remedy).to_string()));
        };
        match ArrayFile::open(place) {
            Ok(file) => files.push(file),
            Err(error) => return Found::Wrong(failed("open", error.to_string())),
        }
    }
    match frames(streams, &files, pictures(clip)) {
        Ok((frames, frames_unknown)) => Found::Arrays(Arrays { files, frames, frames_unknown }),
        Err(what) => Found::Wrong(failed("rows", what)),
    }
}

/// The pictures of a clip that is a folder of them, where that is there.
fn pictures(clip: &Clip) -> Option<usize> {
    let Media::Frames(folder) = &clip.media else { return None };
    frame_folder::list(folder).ok().map(|pictures| pictures.len())
}

/// Frames of a clip whose streams have so many rows, and whether that is a guess: a stream with a row for each frame says it,
/// else the number of pictures, else the windows of a stream at least cover it.
fn frames(
    streams: &[Foreign],
    files: &[ArrayFile],
    pictures: Option<usize>,
) -> Result<(usize, bool), String> {
    let exact = streams.iter().zip(files).find(|(stream, _)| stream.rows == RowRule::EACH_FRAME);
    let covered = |(stream, file): (&Foreign, &ArrayFile)| {
        (file.rows - 1).saturating_mul(stream.rows.stride).saturating_add(stream.rows.window)
    };
    let least = || streams.iter().zip(files).map(covered).max().unwrap_or(0);
    let (said_by, frames) = match (pictures, exact) {
        (Some(pictures), _) => ("folder of pictures", pictures),
        (None, Some((stream, file))) => (stream.name.as_str(), file.rows),
        (None, None) => ("longest stream", least()),
    };
    for (stream, file) in streams.iter().zip(files) {
        let wanted = stream.rows.rows(frames);
        if file.rows != wanted {
            return Err(format!(
                "{}: {} rows of the stream {}, where {frames} frames (by its {said_by}) make {wanted}; make the features of \
                 this clip again from the same frames, or give the stream's windows: --stream {}:WINDOW/STRIDE=PATTERN",
                file.path.display(),
                file.rows,
                stream.name,
                stream.name
            ));
        }
    }
    Ok((frames, pictures.is_none() && exact.is_none()))
}

/// Looks at all clips of a split, side by side: a file server takes its time for each.
pub fn look_at_all(folder: &Path, streams: &[Foreign], clips: &[Clip], splits: &[&str]) -> Vec<Found> {
    clips.par_iter().map(|clip| look(folder, streams, clip, splits)).collect()
}

/// The width of each stream, of the `stores` that there are already and of all files. Errors: two widths; a stream without
/// any.
pub fn widths(
    streams: &[Foreign],
    folder: &Path,
    stores: &[(PathBuf, StoreInfo)],
    found: &[&Found],
) -> Result<Vec<usize>> {
    let width_of = |(i, stream): (usize, &Foreign)| {
        let stored =
            stores.iter().filter_map(|(store, info)| Some((store, info.streams.get(&stream.name)?.dim)));
        let files = found.iter().filter_map(|found| found.arrays()).map(|arrays| &arrays.files[i]);
        let mut widths = stored.chain(files.map(|file| (&file.path, file.dim)));
        let Some((first, width)) = widths.next() else { return Err(nothing_usable(folder, found)) };
        match widths.find(|(_, other)| *other != width) {
            None => Ok(width),
            Some((file, other)) => {
                let (name, there) = (&stream.name, first.display());
                let what = format!("{other} columns of the stream {name}, where {there} has {width}");
                let remedy = "one stream has one width: import the files of one network alone, each into a folder of its own";
                Err(Error::input(file, "shape", what, remedy))
            }
        }
    };
    streams.iter().enumerate().map(width_of).collect()
}

/// Why nothing can be imported, by the first clip.
fn nothing_usable(folder: &Path, found: &[&Found]) -> Error {
    let failure = found.iter().find_map(|found| match found {
        Found::Arrays(_) => None,
        Found::Gone(failure) | Found::Wrong(failure) => Some(failure),
    });
    let (id, reason) = failure.map_or(("", ""), |failure| (&failure.id, &failure.reason));
    let what = format!("none of {} clips has usable features; of {id:?}", found.len());
    Error::input(folder, "", what, reason)
}

/// The type of the store of a split that holds all values: that of the store `there`, where there is one. Errors: a file of
/// float32 for a store of float16.
pub fn dtype(there: Option<(&Path, StoreDtype)>, found: &[Found]) -> Result<StoreDtype> {
    let mut files = found.iter().filter_map(Found::arrays).flat_map(|arrays| &arrays.files);
    let wide = files.find(|file| file.dtype == StoreDtype::F32);
    match (there, wide) {
        (Some((store, StoreDtype::F16)), Some(file)) => {
            let what =
                format!("float32, where the store {} was begun with files of float16", store.display());
            let remedy = "save the file in float16, or import all into another folder with --out";
            Err(Error::input(&file.path, "dtype", what, remedy))
        }
        (Some((_, dtype)), _) => Ok(dtype),
        (None, Some(_)) => Ok(StoreDtype::F32),
        (None, None) => Ok(StoreDtype::F16),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn frames_by_rows_and_pictures() {
        let file = |rows| {
            let mut file = example();
            file.rows = rows;
            file
        };
        let [spatial, motion] =
            ["spatial={id}.npy", "motion={id}.npy"].map(|s| Foreign::parse(s).expect("a stream"));
        let both = [spatial, motion.clone()];
        let one = std::slice::from_ref(&motion);
        assert_eq!(frames(&both, &[file(33), file(3)], None), Ok((33, false)));
        assert_eq!(frames(&both, &[file(5), file(1)], None), Ok((5, false)));
        assert_eq!(frames(one, &[file(3)], Some(39)), Ok((39, false)));
        assert_eq!(frames(one, &[file(3)], None), Ok((32, true)));
        assert_eq!(frames(one, &[file(1)], None), Ok((16, true)));
        for (streams, rows, pictures, part) in [
            (
                &both[..],
                &[33, 4][..],
                None,
                "4 rows of the stream motion, where 33 frames (by its spatial) make 3",
            ),
            (&both[..], &[33, 3], Some(34), "33 rows of the stream spatial, where 34 frames"),
            (
                one,
                &[4],
                Some(39),
                "4 rows of the stream motion, where 39 frames (by its folder of pictures) make 3",
            ),
        ] {
            let files: Vec<ArrayFile> = rows.iter().map(|&rows| file(rows)).collect();
            let refused = frames(streams, &files, pictures).expect_err(part);
            assert!(refused.contains(part), "{refused}");
        }
    }

    fn example() -> ArrayFile {
        let folder = tempfile::tempdir().expect("a folder");
        let path: PathBuf = folder.path().join("a.npy");
        let text = format!("{:117}\n", "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1), }");
        let bytes = [b"\x93NUMPY\x01\x00\x76\x00".as_slice(), text.as_bytes(), &[0; 4]].concat();
        std::fs::write(&path, bytes).expect("written");
        ArrayFile::open(&path).expect("an array")
    }
}
