//! Whether the parts of a file follow each other, by what its format says of where each one ends, and whether the file
//! says where all of it ends.
//!
//! FFmpeg looks for the next good part where one is damaged, and takes the end of the file for the end of the video. Only
//! headers of parts are read here.

use std::collections::VecDeque;
use std::fs::Metadata;
use std::io::Result;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::parts::{Parts, Structure};
use super::{asf, avi, flv, gif, matroska, mp4, mpegps, mpegts, nut, ogg, y4m};

/// Which file, as it was when it was looked at.
#[derive(PartialEq)]
struct Seen {
    file: PathBuf,
    inode: [u64; 3],
    time: [i64; 4],
}

impl Seen {
    fn new(file: &Path, meta: &Metadata) -> Self {
        Self {
            file: file.to_path_buf(),
            inode: [meta.dev(), meta.ino(), meta.len()],
            time: [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()],
        }
    }
}

/// As many files are remembered: clips may be ranges of one long video, and each range opens it more than once.
const REMEMBERED: usize = 64;
static REMEMBER: Mutex<VecDeque<(Seen, Structure)>> = Mutex::new(VecDeque::new());

/// The structure of `file`, whose format FFmpeg calls `format`.
pub(super) fn structure(file: &Path, format: &str) -> Result<Structure> {
    let seen = Seen::new(file, &std::fs::metadata(file)?);
    let remembered = || REMEMBER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, structure)) = remembered().iter().find(|(other, _)| *other == seen) {
        return Ok(structure.clone());
    }
    let structure = walk(file, format)?;
    let mut remembered = remembered();
    if remembered.len() == REMEMBERED {
        remembered.pop_front();
    }
    remembered.push_back((seen, structure.clone()));
    Ok(structure)
}

fn walk(file: &Path, format: &str) -> Result<Structure> {
    let mut parts = Parts::open(file)?;
    match format {
        "matroska,webm" => matroska::walk(&mut parts),
        "mov,mp4,m4a,3gp,3g2,mj2" => mp4::walk(&mut parts),
        "avi" => avi::walk(&mut parts),
        "ogg" => ogg::walk(&mut parts),
        "asf" => asf::walk(&mut parts),
        "flv" => flv::walk(&mut parts),
        "gif" => gif::walk(&mut parts),
        "mpegts" => mpegts::walk(&mut parts),
        "mpeg" => mpegps::walk(&mut parts),
        "yuv4mpegpipe" => y4m::walk(&mut parts),
        "nut" => nut::walk(&mut parts),
        // A single picture has its own end.
        _ if format.ends_with("_pipe") => Ok(Structure::whole()),
        _ => Ok(Structure::default()),
    }
}
