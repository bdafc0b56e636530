//! A video in one of sixteen containers: what is stored as complete has the frames that the ffmpeg program finds where it may
//! pass over nothing.

#![no_main]

use fuzzing::{Place, answer, seeds};
use libfuzzer_sys::fuzz_target;
use signclip_common::Result;
use signclip_extract::media::frame_reader::FrameReader;
use signclip_common::manifest::Media;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

static PLACE: LazyLock<Place> = LazyLock::new(|| Place::new("clip"));

/// Ending and coding.
const CONTAINERS: [(&str, &str); 16] = [
    ("mp4", "-c:v libx264 -g 4"),
    ("mov", "-c:v mpeg4 -g 4"),
    ("mkv", "-c:v libx264 -g 4 -cluster_time_limit 100"),
    ("webm", "-c:v libvpx -g 4"),
    ("avi", "-c:v mpeg4 -g 4"),
    ("ts", "-c:v libx264 -g 4"),
    ("mpg", "-c:v mpeg2video -g 4"),
    ("ogv", "-c:v libtheora -g 4"),
    ("wmv", "-c:v wmv2 -g 4"),
    ("flv", "-c:v flv1 -g 4"),
    ("gif", "-c:v gif"),
    ("y4m", "-pix_fmt yuv420p"),
    ("3gp", "-c:v mpeg4 -g 4"),
    ("mxf", "-c:v mpeg2video -g 4"),
    ("nut", "-c:v mpeg4 -g 4"),
    ("h264", "-c:v libx264 -g 4"),
];

/// Frames of the source, and whether it is known that these are all.
fn read(path: &Path) -> Result<(usize, bool)> {
    let media = Media::Video { path: path.to_path_buf(), start: None, end: None };
    let mut stream = FrameReader::open(&media, 25.0, 25.0)?;
    while !stream.next_window(16)?.is_empty() {}
    let timing = stream.timing();
    Ok((timing.source_frames, !timing.end_unknown))
}

/// Frames that the ffmpeg program finds; `None` where it refuses the file.
fn reference(path: &Path) -> Option<usize> {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args("-v error -nostdin -err_detect explode -xerror -threads 1 -protocol_whitelist file -i".split(' ')).arg(path);
    ffmpeg.args("-map 0:v:0 -vsync passthrough -f framecrc -".split(' ')).stderr(Stdio::null());
    ffmpeg.env_remove("LD_LIBRARY_PATH");
    let output = ffmpeg.output().ok().filter(|output| output.status.success())?;
    Some(output.stdout.split(|&byte| byte == b'\n').filter(|line| !line.is_empty() && line[0] != b'#').count())
}

fuzz_target!(
    init: fuzzing::sow(CONTAINERS.map(|(ending, coding)| {
        seeds::ffmpeg("testsrc2=size=32x32:rate=25", &format!("-frames:v 8 -fflags +bitexact {coding}"), ending)
    })),
    |data: &[u8]| {
        let path = PLACE.put(data);
        if let Some((frames, true)) = answer(read(path)) {
            let reference = reference(path);
            assert!(reference.is_none_or(|reference| reference == frames), "{frames} frames, ffmpeg has {reference:?}");
        }
    }
);
