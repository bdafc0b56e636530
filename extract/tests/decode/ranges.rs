//! A range's frames are those of the whole clip whose own times lie in it, whatever a container's time stamps mean.

use super::*;

/// The whole clip's frames by number, and those of ranges, which must be the same pictures.
pub(crate) fn agree(name: &str, path: &Path, ranges: &[(f64, f64)]) {
    let (whole, _) = frames(&video(path)).unwrap_or_else(|e| panic!("{name}: {e}"));
    for &(start, end) in ranges {
        let (got, _) = frames(&part(path, start, end)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let first = (start * 25.0).round() as usize;
        let wanted = &whole[first..first + ((end - start) * 25.0).round() as usize];
        let place = |frame: &Frame| whole.iter().position(|other| other == frame);
        let places: Vec<_> = got.iter().map(place).collect();
        assert!(got == wanted, "{name} {start}..{end}: {places:?}, not from {first}");
    }
}

const RANGES: [(f64, f64); 5] = [(0.0, 0.4), (0.04, 1.0), (2.0, 3.0), (3.2, 3.24), (4.8, 7.12)];

#[test]
fn of_every_container() {
    let videos = Videos::new();
    let x264 = |more: &[&'static str]| [&X264[..], &["-g", "30"], more].concat();
    let mpeg4: Vec<&str> = vec!["-c:v", "mpeg4", "-q:v", "3", "-g", "30"];
    let reordered = [&mpeg4[..], &["-bf", "2"]].concat();
    for (name, more) in [
        ("b.avi", reordered.clone()),
        ("h264.avi", x264(&["-bf", "3"])),
        ("pyramid.avi", x264(&["-bf", "3", "-b-pyramid", "normal"])),
        ("plain.avi", mpeg4.clone()),
        ("b.asf", reordered.clone()),
        ("plain.wmv", vec!["-c:v", "wmv2", "-q:v", "3", "-g", "30"]),
        ("b.mp4", reordered.clone()),
        ("b.mkv", reordered.clone()),
        ("h264.mkv", x264(&["-bf", "3"])),
        ("h264.flv", x264(&["-bf", "3"])),
        ("h264.ts", x264(&["-bf", "3"])),
        ("h264.nut", x264(&["-bf", "3"])),
        ("b.ts", vec!["-c:v", "mpeg2video", "-q:v", "3", "-bf", "2", "-g", "20"]),
        ("b.vob", vec!["-c:v", "mpeg2video", "-q:v", "3", "-bf", "2", "-g", "20", "-f", "vob"]),
        ("mpeg2.avi", vec!["-c:v", "mpeg2video", "-q:v", "3", "-bf", "2", "-g", "20"]),
        ("open.mp4", x264(&["-bf", "3", "-x264-params", "open-gop=1"])),
    ] {
        let path = videos.make(name, "25", 200, &more);
        let (got, timing) = numbers(&video(&path));
        assert_eq!(got, (0..200).collect::<Vec<_>>(), "{name}");
        assert!(!timing.resampled, "{name}: {timing:?}");
        agree(name, &path, &RANGES);
    }
}

/// The first second is cut off by an edit list, the key frame lies before the cut.
#[test]
fn of_an_edit_list() {
    let videos = Videos::new();
    let path = videos.make("whole.mp4", "25", 250, &[&X264[..], &["-bf", "3", "-g", "40"]].concat());
    let (from, to) = (path.display().to_string(), videos.path("cut.mp4"));
    ffmpeg(&["-ss", "1.2", "-i", &from, "-c", "copy", &to.display().to_string()], b"");
    let (got, _) = numbers(&video(&to));
    assert_eq!(got, (30..250).collect::<Vec<_>>());
    agree("cut.mp4", &to, &RANGES);
}

/// Recordings glued together, whose time stamps begin anew: the whole clip counts on, and so do ranges.
#[test]
fn of_glued_recordings() {
    let videos = Videos::new();
    for (name, codec) in [
        ("x.ts", &["-c:v", "libx264", "-bf", "2", "-g", "25"][..]),
        ("x.mpg", &["-c:v", "mpeg2video", "-q:v", "3", "-g", "25"]),
    ] {
        let path = videos.make(name, "25", 200, codec);
        let bytes = std::fs::read(&path).expect("read");
        std::fs::write(&path, [&bytes[..], &bytes].concat()).expect("write");
        let (got, _) = numbers(&video(&path));
        assert_eq!(got, (0..200).chain(0..200).collect::<Vec<_>>(), "{name}");
        for start in [1.0, 6.0, 9.0, 13.0] {
            let first = (start * 25.0) as usize;
            let wanted: Vec<usize> = (first..first + 25).map(|n| n % 200).collect();
            assert_eq!(numbers(&part(&path, start, start + 1.0)).0, wanted, "{name} from {start}");
        }
    }
}
