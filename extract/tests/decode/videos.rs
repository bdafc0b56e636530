//! Videos whose headers know little, with several streams, interlaced, standing still, or beyond a limit.

use super::*;

/// What a browser records: no duration, no rate, time stamps in milliseconds.
#[test]
fn recordings_without_duration() {
    let videos = Videos::new();
    let vp8 = ["-c:v", "libvpx", "-deadline", "realtime", "-crf", "10", "-b:v", "1M"];
    let jitter = "settb=1/1000,setpts=floor(N*1000/30)+mod(N*7\\,5)";
    let more =
        ["-vf", jitter, "-vsync", "passthrough", "-enc_time_base", "1/1000", "-live", "1", "-f", "webm"];
    let path = videos.make("live.webm", "30", 90, &[&vp8[..], &more].concat());
    let (got, timing) = numbers(&video(&path));
    assert_eq!((got.len(), timing.source_frames, timing.resampled), (75, 90, true));
    assert!((timing.source_fps - 30.0).abs() < 0.5, "{timing:?}");
    // The finest tick of the time stamps is no rate either.
    let slow = "settb=1/1000,setpts=N*400+mod(N\\,2)*3";
    let more = ["-vf", slow, "-vsync", "passthrough", "-enc_time_base", "1/1000", "-live", "1", "-f", "webm"];
    let path = videos.make("slow.webm", "30", 6, &[&vp8[..], &more].concat());
    let (_, timing) = numbers(&video(&path));
    assert!((2.3..2.7).contains(&timing.source_fps), "{timing:?}");
}

#[test]
fn the_picture_holds_while_nothing_is_written() {
    let videos = Videos::new();
    let still = "settb=1/1000,setpts=N*40+if(gt(N\\,9)\\,80000\\,0)";
    let more = ["-vf", still, "-vsync", "passthrough", "-enc_time_base", "1/1000", "-bf", "0"];
    for name in ["still.mp4", "still.mkv"] {
        let path = videos.make(name, "25", 20, &[&X264[..], &more].concat());
        let (got, timing) = numbers(&video(&path));
        let wanted: Vec<usize> = (0..9).chain(std::iter::repeat_n(9, 2001)).chain(10..20).collect();
        assert_eq!(timing.source_frames, 20, "{name}");
        assert!(got == wanted, "{name}: {} frames", got.len());
        assert_eq!(numbers(&part(&path, 60.0, 60.2)).0, [9; 5], "{name}");
    }
    // Where a limit remains, it is named, at the file's own time.
    let hours = "settb=1/1000,setpts=N*40+if(gt(N\\,9)\\,4000000\\,0)";
    let more = ["-vf", hours, "-vsync", "passthrough", "-enc_time_base", "1/1000", "-output_ts_offset", "5"];
    let path = videos.make("hours.mkv", "25", 20, &[&X264[..], &["-bf", "0"], &more].concat());
    let error = failure(&video(&path));
    let parts = ["hours.mkv", "at 5.36 s", "3600 s at the most"];
    assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    assert!(!error.contains("damage") && !error.contains("download"), "{error}");
}

#[test]
fn one_of_several_streams() {
    let videos = Videos::new();
    let small = videos.make("small.mp4", "25", 20, &X264).display().to_string();
    let large = videos.make_sized("large.mp4", "25", 50, (192, 128), &X264).display().to_string();
    let cover = videos.make("cover.png", "25", 1, &["-frames:v", "1"]).display().to_string();
    for name in ["both.mp4", "both.mkv", "both.ts"] {
        let path = videos.path(name);
        let target = path.display().to_string();
        ffmpeg(&["-i", &small, "-i", &large, "-map", "0", "-map", "1", "-c", "copy", &target], b"");
        let (got, timing) = frames(&video(&path)).expect("decodes");
        assert_eq!((got.len(), got[0].width, timing.video_stream), (20, 96, Some(0)), "{name}");
        // Nothing in a transport stream tells where it ends.
        let end = if name == "both.ts" { &[Remark::EndUnknown][..] } else { &[] };
        assert_eq!(timing.remarks, [&[Remark::SeveralVideoStreams], end].concat(), "{name}");
        let number = |number: usize| Reading {
            folder_fps: 25.0,
            video: VideoConfig { video_stream: Some(number), ..VideoConfig::default() },
        };
        let (got, timing) = frames_as(&video(&path), number(1)).expect("decodes");
        assert_eq!((got.len(), got[0].width, timing.video_stream), (50, 192, Some(1)), "{name}");
        assert_eq!(timing.remarks, end, "{name}");
        let probed = probe(&video(&path), number(1)).expect("probe");
        assert_eq!((probed.width, probed.height), (192, 128), "{name}");
        let error = frames_as(&video(&path), number(2)).expect_err("there are two").to_string();
        assert!(error.contains("no video stream 2; the file has 2"), "{error}");
    }
    // A cover picture does not count, wherever it stands.
    let path = videos.path("cover.mp4");
    let target = path.display().to_string();
    ffmpeg(
        &[
            "-i",
            &cover,
            "-i",
            &small,
            "-map",
            "0",
            "-map",
            "1",
            "-c",
            "copy",
            "-disposition:v:0",
            "attached_pic",
            &target,
        ],
        b"",
    );
    let (got, timing) = numbers(&video(&path));
    assert_eq!((got.len(), timing.video_stream, timing.remarks), (20, None, vec![]));
}

/// Even rows from one picture, odd rows from the next, told apart by the number in them.
#[test]
fn fields() {
    let videos = Videos::new();
    let progressive = videos.make("plain.mkv", "50", 40, &["-c:v", "ffv1", "-pix_fmt", "yuv420p"]);
    let from = progressive.display().to_string();
    for (name, mode) in [("top.mp4", "interleave_top"), ("bottom.mp4", "interleave_bottom")] {
        let path = videos.path(name);
        let flag = if mode == "interleave_top" { "tff=1" } else { "bff=1" };
        let fields =
            format!("tinterlace={mode},setfield={}", if mode == "interleave_top" { "tff" } else { "bff" });
        let codec =
            ["-c:v", "libx264", "-qp", "0", "-flags", "+ilme+ildct", "-x264-params", flag, "-bf", "0"];
        let target = path.display().to_string();
        ffmpeg(&[&["-i", &from, "-vf", &fields][..], &codec, &[&target]].concat(), b"");
        let (combed, timing) = frames(&video(&path)).expect("decodes");
        assert_eq!((combed.len(), timing.remarks), (20, vec![Remark::Interlaced]), "{name}");
        let reading =
            Reading { folder_fps: 25.0, video: VideoConfig { deinterlace: true, ..VideoConfig::default() } };
        let (got, timing) = frames_as(&video(&path), reading).expect("decodes");
        assert_eq!(timing.remarks, [], "{name}");
        assert_eq!((got.len(), got[0].width, got[0].height), (20, SIZE.0, SIZE.1), "{name}");
        let own = usize::from(mode == "interleave_bottom");
        let row = |frame: &Frame, y: usize| frame.rgb[y * SIZE.0 * 3..(y + 1) * SIZE.0 * 3].to_vec();
        let near = |a: &[u8], b: &[u8]| a.iter().zip(b).all(|(a, b)| a.abs_diff(*b) <= 2);
        for (number, (frame, combed)) in got.iter().zip(&combed).enumerate() {
            // The field that is shown first is the earlier picture. (The first row of all is dark.)
            assert_eq!(self::number(frame), 2 * number, "{name}");
            for y in (2..SIZE.1 - 2).filter(|y| y % 2 == own) {
                assert!(near(&row(frame, y), &row(combed, y)), "{name} {number}: row {y} stays");
                let means: Vec<u8> =
                    row(frame, y).iter().zip(row(frame, y + 2)).map(|(a, b)| a.midpoint(b)).collect();
                assert!(near(&row(frame, y + 1), &means), "{name} {number}: row {} is between", y + 1);
            }
        }
    }
    // Frames of no fields are left alone.
    let reading =
        Reading { folder_fps: 25.0, video: VideoConfig { deinterlace: true, ..VideoConfig::default() } };
    let (got, _) = frames_as(&video(&progressive), reading).expect("decodes");
    assert!(got == frames(&video(&progressive)).expect("decodes").0);
}

#[test]
fn pixels_that_are_not_square() {
    let videos = Videos::new();
    let path = videos.make("wide.mp4", "25", 3, &[&X264[..], &["-vf", "setsar=16/11"]].concat());
    assert_eq!(numbers(&video(&path)).1.remarks, [Remark::PixelsNotSquare]);
    let path = videos.make("square.mp4", "25", 3, &[&X264[..], &["-vf", "setsar=1"]].concat());
    assert_eq!(numbers(&video(&path)).1.remarks, []);
}

#[test]
fn turned_videos_say_so() {
    let videos = Videos::new();
    let path = videos.make("upright.mp4", "25", 3, &X264);
    assert!(!numbers(&video(&path)).1.turned);
    let (from, to) = (path.display().to_string(), videos.path("turned.mp4"));
    ffmpeg(&["-i", &from, "-c", "copy", "-metadata:s:v", "rotate=90", &to.display().to_string()], b"");
    assert!(frames(&video(&to)).expect("decodes").1.turned);
}

/// What is lost at the beginning of a Matroska file, or in the middle, is lost.
#[test]
fn matroska_with_zeros_in_it() {
    let videos = Videos::new();
    let more = ["-g", "10", "-cluster_time_limit", "400"];
    let path = videos.make("a.mkv", "25", 73, &[&X264[..], &more].concat());
    let bytes = std::fs::read(&path).expect("read");
    let clusters: Vec<usize> =
        bytes.windows(4).enumerate().filter(|(_, w)| w == b"\x1f\x43\xb6\x75").map(|(at, _)| at).collect();
    assert!(clusters.len() > 3, "{clusters:?}");
    for &at in [clusters[0], clusters[2]].iter() {
        let mut damaged = bytes.clone();
        damaged[at..at + 40].fill(0);
        std::fs::write(&path, damaged).expect("write");
        for media in [video(&path), part(&path, 1.0, 1.4)] {
            let error = failure(&media);
            assert!(error.contains(&format!("byte {at}")) && error.contains("damaged"), "{error}");
        }
    }
}

/// FFmpeg leaves out a frame that the end of a Matroska file cuts off, and says nothing.
#[test]
fn a_matroska_file_that_ends_in_a_frame() {
    let videos = Videos::new();
    let vp8 = ["-c:v", "libvpx", "-deadline", "realtime", "-crf", "10", "-b:v", "1M"];
    for (name, codec) in [("x.mkv", &X264[..]), ("x.webm", &vp8)] {
        let live = ["-live", "1", "-f", "matroska"];
        let path = videos.make(name, "25", 50, &[codec, &live].concat());
        let whole = std::fs::read(&path).expect("a video");
        assert_eq!(numbers(&video(&path)).0.len(), 50);
        std::fs::write(&path, &whole[..whole.len() - 20]).expect("written");
        let error = failure(&video(&path));
        let parts = [name, "byte ", "truncated after 1.96 s", "inside of a frame", "-c copy"];
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        // What comes before is whole.
        assert_eq!(numbers(&part(&path, 0.4, 1.0)).0, (10..25).collect::<Vec<_>>());
    }
}
