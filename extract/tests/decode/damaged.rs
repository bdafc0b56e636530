//! Damaged files of each kind of container: what FFmpeg reads with fewer frames, or with more, is refused; where a format
//! cannot tell, that is said.

use super::*;

const COUNT: usize = 40;

struct Case {
    name: &'static str,
    more: &'static [&'static str],
    /// What a part of the file begins with.
    part: &'static [u8],
    /// Whether it is known of a whole file that it is whole.
    known: bool,
}

const fn case(name: &'static str, more: &'static [&'static str], part: &'static [u8], known: bool) -> Case {
    Case { name, more, part, known }
}

fn cases() -> [Case; 12] {
    let x264 = &["-c:v", "libx264", "-preset", "veryfast", "-g", "10"];
    [
        case(
            "a.mkv",
            &["-c:v", "libx264", "-g", "10", "-cluster_time_limit", "400"],
            b"\x1f\x43\xb6\x75",
            true,
        ),
        case("a.avi", &["-c:v", "mpeg4", "-g", "10"], b"00dc", true),
        case("a.ogv", &["-c:v", "libtheora", "-g", "10"], b"OggS", true),
        case("a.wmv", &["-c:v", "wmv2", "-g", "10"], b"\x82\0\0", true),
        case("a.flv", &["-c:v", "flv1", "-g", "10"], b"\x09\0", true),
        case("a.nut", &["-c:v", "mpeg4", "-g", "10"], b"NK\xe4\xad\xee\xca\x45\x69", true),
        case("a.mxf", &["-c:v", "mpeg2video", "-g", "10"], b"\x06\x0e\x2b\x34", true),
        case("a.mp4", x264, b"\0\0", true),
        case("a.gif", &[], b"\x21\xf9\x04", false),
        case("a.y4m", &[], b"FRAME", false),
        case("a.ts", x264, b"\x47\x41\0", false),
        case("a.mpg", &["-c:v", "mpeg2video", "-g", "10", "-bf", "2"], b"\0\0\x01\xba", false),
    ]
}

#[test]
fn damage_is_found_by_every_container() {
    let videos = Videos::new();
    let mut state = 7;
    for Case { name, more, part, known } in cases() {
        let path = videos.make(name, "25", COUNT, more);
        let whole = std::fs::read(&path).expect("read");
        let (_, timing) = frames(&video(&path)).expect("whole");
        assert_eq!((timing.source_frames, timing.end_unknown), (COUNT, !known), "{name}");
        assert_eq!(timing.remarks.contains(&Remark::EndUnknown), !known, "{name}");
        let mut parts: Vec<usize> = (1..whole.len()).filter(|&at| whole[at..].starts_with(part)).collect();
        if parts.len() < 3 {
            // The whole clip is one part.
            parts = (1..8).map(|eighth| whole.len() * eighth / 8).collect();
        }
        for kind in 0..24 {
            let mut copy = whole.clone();
            let at = random(&mut state) % (whole.len() - 1);
            let end = (at + 1 + random(&mut state) % 3000).min(whole.len());
            let first = random(&mut state) % (parts.len() - 1);
            let between = parts[first]..parts[(first + 2).min(parts.len() - 1)];
            match kind % 6 {
                0 => copy.truncate(at + 1),
                1 => copy[at..end].fill(0),
                2 => drop(copy.drain(at..end)),
                3 => copy.truncate(parts[first]),
                4 => drop(copy.drain(between)),
                _ => drop(copy.splice(between.end..between.end, whole[between].iter().copied())),
            }
            std::fs::write(&path, &copy).expect("written");
            // What is stored has all frames, or says that nobody knows.
            if let Ok((_, timing)) = frames(&video(&path)) {
                let fine = timing.source_frames == COUNT || timing.end_unknown;
                assert!(fine, "{name}, damage {kind} at {at}: {timing:?}");
            }
        }
    }
}

/// These end in the middle of a part: that is seen even where the end is not known.
#[test]
fn files_that_end_in_the_middle_of_a_part() {
    let videos = Videos::new();
    for Case { name, more, .. } in cases() {
        let path = videos.make(name, "25", COUNT, more);
        let whole = std::fs::read(&path).expect("read");
        std::fs::write(&path, &whole[..whole.len() * 3 / 4 + 1]).expect("written");
        let error = failure(&video(&path));
        assert!(error.contains(name), "{error}");
    }
}

/// Good files of which little is known, or that were put together.
#[test]
fn cut_out_joined_and_live_ones_are_read() {
    let videos = Videos::new();
    let path = videos.make("long.mp4", "25", 150, &[&X264[..], &["-bf", "2", "-g", "30"]].concat());
    let from = path.display().to_string();
    for name in ["cut.mp4", "cut.mkv", "cut.ts", "cut.flv", "cut.mov"] {
        let cut = videos.path(name);
        ffmpeg(&["-ss", "2.4", "-i", &from, "-c", "copy", &cut.display().to_string()], b"");
        let (_, timing) = frames(&video(&cut)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(timing.source_frames >= 90, "{name}: {timing:?}");
    }
    // Its first two frames refer to one that is not there, and its index to a frame behind its end.
    let path = videos.make("long.mxf", "25", 75, &["-c:v", "mpeg2video", "-bf", "2", "-g", "12"]);
    for (name, range) in [("cut.mxf", &["-ss", "1"][..]), ("end.mxf", &["-ss", "0.6", "-t", "1.2"])] {
        let cut = videos.path(name);
        let (from, to) = (path.display().to_string(), cut.display().to_string());
        ffmpeg(&[range, &["-i", &from, "-c", "copy", &to]].concat(), b"");
        let lines = ffmpeg(&["-i", &to, "-vsync", "passthrough", "-f", "framecrc", "-"], b"");
        let count = String::from_utf8_lossy(&lines).lines().filter(|line| !line.starts_with('#')).count();
        let (_, timing) = frames(&video(&cut)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(timing.source_frames, count, "{name}: {timing:?}");
    }
    for (name, codec) in [("joined.ts", &X264[..]), ("joined.mpg", &["-c:v", "mpeg2video"])] {
        let path = videos.make(name, "25", 30, codec);
        let bytes = std::fs::read(&path).expect("read");
        std::fs::write(&path, [&bytes[..], &bytes].concat()).expect("written");
        let (got, timing) = numbers(&video(&path));
        assert_eq!(got, (0..30).chain(0..30).collect::<Vec<_>>(), "{name}");
        assert!(timing.end_unknown, "{name}");
    }
    for (format, codec) in
        [("matroska", "mpeg4"), ("webm", "libvpx"), ("flv", "flv1"), ("asf", "wmv2"), ("avi", "mpeg4")]
    {
        let path = videos.path(&format!("live.{format}"));
        // Written to a pipe: nobody can go back and fill in the header.
        let bytes = ffmpeg(&["-i", &from, "-c:v", codec, "-f", format, "-"], b"");
        std::fs::write(&path, bytes).expect("written");
        let (_, timing) = frames(&video(&path)).unwrap_or_else(|error| panic!("{format}: {error}"));
        assert_eq!((timing.source_frames, timing.end_unknown), (150, true), "{format}");
    }
}

/// FFmpeg writes nonsense as times of an Ogg file that it cuts without encoding it anew. Versions that know better do not.
#[test]
fn times_that_no_video_has() {
    let videos = Videos::new();
    let path = videos.make("whole.ogv", "25", 150, &["-c:v", "libtheora", "-g", "12"]);
    let cut = videos.path("cut.ogv");
    ffmpeg(&["-ss", "2", "-i", &path.display().to_string(), "-c", "copy", &cut.display().to_string()], b"");
    match frames(&video(&cut)) {
        Ok((_, timing)) => assert!(!timing.resampled && timing.source_frames >= 100, "{timing:?}"),
        Err(error) => assert!(error.to_string().contains("time stamps begin at"), "{error}"),
    }
}
