//! The inputs that people report, where they are: `SIGNCLIP_TEST_DATA`, by default `../shared/data`.

use super::*;

/// The folder with them, or `None` with a message.
pub(crate) fn field() -> Option<PathBuf> {
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("SIGNCLIP_TEST_DATA").map_or_else(default, PathBuf::from).join("field");
    if !folder.is_dir() {
        println!("skipped: no inputs in {}", folder.display());
        return None;
    }
    Some(folder)
}

#[test]
fn a_range_of_packed_frames_in_avi() {
    let Some(field) = field() else { return };
    let path = field.join("packed.avi");
    let (whole, _) = frames(&video(&path)).expect("decodes");
    assert_eq!(whole.len(), 100);
    for (start, end, wanted) in
        [(2.0, 3.0, 50..75), (0.0, 1.0, 0..25), (3.0, 4.0, 75..100), (0.52, 0.6, 13..15)]
    {
        let (got, _) = frames(&part(&path, start, end)).expect("decodes");
        assert!(got == whole[wanted.clone()], "{start}..{end} is not {wanted:?}");
    }
}

/// The same packets in containers with other ideas of time.
#[test]
fn ranges_of_packed_frames_elsewhere() {
    let Some(field) = field() else { return };
    let videos = Videos::new();
    let from = field.join("packed.avi").display().to_string();
    for name in ["x.mkv", "x.mp4", "x.mov"] {
        let path = videos.path(name);
        ffmpeg(&["-fflags", "+genpts", "-i", &from, "-c", "copy", &path.display().to_string()], b"");
        ranges::agree(name, &path, &[(0.0, 0.4), (0.52, 0.6), (2.0, 3.0), (3.2, 3.8)]);
    }
}

#[test]
fn a_still_scene() {
    let Some(field) = field() else { return };
    let (got, timing) = frames(&video(&field.join("still.mp4"))).expect("valid");
    assert_eq!((got.len(), timing.source_frames), (1974, 100));
    assert!((timing.source_fps - 1.27).abs() < 0.03, "{timing:?}");
    assert!(got[60..1900].iter().all(|frame| *frame == got[60]), "the picture holds");
}

#[test]
fn a_recording_without_duration() {
    let Some(field) = field() else { return };
    let (got, timing) = frames(&video(&field.join("rec.webm"))).expect("decodes");
    assert_eq!((got.len(), timing.source_frames), (100, 120));
    assert!((timing.source_fps - 30.1).abs() < 0.2, "{timing:?}");
}

#[test]
fn the_first_of_two_streams() {
    let Some(field) = field() else { return };
    let path = field.join("two.mp4");
    let (got, timing) = frames(&video(&path)).expect("decodes");
    assert_eq!((got.len(), got[0].width, timing.video_stream), (95, 852, Some(0)));
    assert_eq!(timing.remarks, [Remark::SeveralVideoStreams]);
    let second =
        Reading { folder_fps: 25.0, video: VideoConfig { video_stream: Some(1), ..VideoConfig::default() } };
    let (got, timing) = frames_as(&video(&path), second).expect("decodes");
    assert_eq!((got.len(), got[0].width, timing.video_stream), (300, 320, Some(1)));
    assert!(timing.remarks.is_empty());
}

#[test]
fn pictures_are_what_their_bytes_say() {
    let Some(field) = field() else { return };
    assert_eq!(frames(&Media::Frames(field.join("png_as_jpg"))).expect("PNG").0.len(), 3);
    let error = failure(&Media::Frames(field.join("thumb_cut")));
    assert!(error.contains("0010.jpg") && error.contains("truncated"), "{error}");
}

/// Rows become columns, from below.
fn quarter_turn(frame: &Frame) -> Frame {
    let (w, h) = (frame.height, frame.width);
    let pixel = |x: usize, y: usize| {
        let place = ((frame.height - 1 - x) * frame.width + y) * 3;
        frame.rgb[place..place + 3].to_vec()
    };
    let rgb = (0..h).flat_map(|y| (0..w).flat_map(move |x| pixel(x, y))).collect();
    Frame { rgb, width: w, height: h }
}

#[test]
fn pictures_stored_sideways() {
    let Some(field) = field() else { return };
    let (got, timing) = frames(&Media::Frames(field.join("exif"))).expect("decodes");
    assert!(timing.turned && got.len() == 5);
    for (number, got) in got.iter().enumerate() {
        let file = field.join(format!("exif/{number:04}.jpg")).display().to_string();
        let rgb = ffmpeg(
            &[
                "-noautorotate",
                "-i",
                &file,
                "-f",
                "rawvideo",
                "-pix_fmt",
                "rgb24",
                "-sws_flags",
                "bicubic",
                "-",
            ],
            b"",
        );
        let stored = Frame { rgb, width: 480, height: 852 };
        let turned = quarter_turn(&stored);
        assert_eq!((turned.width, turned.height), (got.width, got.height));
        let worst = turned.rgb.iter().zip(&got.rgb).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(worst <= Some(3), "{number}: {worst:?}");
    }
}

#[test]
fn a_damaged_start() {
    let Some(field) = field() else { return };
    let (got, _) = frames(&video(&field.join("damaged/long.mkv"))).expect("whole");
    assert_eq!(got.len(), 73);
    let error = failure(&video(&field.join("damaged/head_mkv.mkv")));
    assert!(error.contains("head_mkv.mkv"), "{error}");
}
