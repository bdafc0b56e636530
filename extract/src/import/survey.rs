//! What is there to import, by the headers of all files: every clip's arrays, and the one width and type of each stream.

use super::array_file::ArrayFile;
use super::foreign::Foreign;
use crate::media::frame_folder;
use rayon::prelude::*;
use signclip_common::manifest::{Clip, Media};
use signclip_common::store::{Failure, RowRule, StoreDtype};
use signclip_common::{Error, Result};
use std::path::Path;

/// The features of one clip.
#[derive(Debug)]
pub struct Arrays {
    /// In the order of the streams.
    pub files: Vec<ArrayFile>,
    pub frames: usize,
    /// Whether no stream and no folder of pictures says how many frames there are; `frames` is the least number then.
    pub frames_unknown: bool,
}

/// Reads the headers of a clip's files. Errors: a file that is missing or no array of features; rows that contradict each
/// other, or the clip's folder of pictures where that is there.
pub fn look(folder: &Path, streams: &[Foreign], clip: &Clip, splits: &[&str]) -> Result<Arrays, Failure> {
    let failed =
        |stage: &str, reason: String| Failure { id: clip.id.clone(), stage: stage.to_owned(), reason };
    let open = |stream: &Foreign| -> Result<ArrayFile> {
        let places: Vec<_> =
            stream.pattern.places(clip, splits)?.into_iter().map(|place| folder.join(place)).collect();
        match places.iter().find(|place| place.exists()) {
            Some(place) => ArrayFile::open(place),
            None => {
                let (stream, first) = (&stream.name, &places[0]);
                let what = format!("no such file, which would be the stream {stream}");
                Err(Error::input(first, "", what, "make the features of this clip, or correct the pattern"))
            }
        }
    };
    let files: Result<Vec<ArrayFile>> = streams.iter().map(open).collect();
    let files = files.map_err(|e| failed("open", e.to_string()))?;
    let (frames, frames_unknown) =
        frames(streams, &files, pictures(clip)).map_err(|what| failed("rows", what))?;
    Ok(Arrays { files, frames, frames_unknown })
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
pub fn look_at_all(
    folder: &Path,
    streams: &[Foreign],
    clips: &[Clip],
    splits: &[&str],
) -> Vec<Result<Arrays, Failure>> {
    clips.par_iter().map(|clip| look(folder, streams, clip, splits)).collect()
}

/// The width of each stream, and the type that holds all values. Errors: files of two widths; a stream without any file.
pub fn agree<'a>(
    streams: &[Foreign],
    folder: &Path,
    arrays: impl Iterator<Item = &'a Arrays>,
) -> Result<(Vec<usize>, StoreDtype)> {
    let (mut first, mut dtype): (Option<&Arrays>, _) = (None, StoreDtype::F16);
    for arrays in arrays {
        for (i, (stream, file)) in streams.iter().zip(&arrays.files).enumerate() {
            let other = first.map_or(file, |first| &first.files[i]);
            if file.dim != other.dim {
                let (name, there) = (&stream.name, other.path.display());
                let what =
                    format!("{} columns of the stream {name}, where {there} has {}", file.dim, other.dim);
                let remedy = "one stream has one width: import the files of one network alone";
                return Err(Error::input(&file.path, "shape", what, remedy));
            }
            if file.dtype == StoreDtype::F32 {
                dtype = StoreDtype::F32;
            }
        }
        first = first.or(Some(arrays));
    }
    match first {
        Some(first) => Ok((first.files.iter().map(|file| file.dim).collect(), dtype)),
        None => {
            let patterns: Vec<&str> = streams.iter().map(|stream| stream.pattern.as_str()).collect();
            let what = format!("no clip has a usable file of each stream ({})", patterns.join(", "));
            Err(Error::input(folder, "", what, "correct the folder or --stream"))
        }
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
