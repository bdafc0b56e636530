//! Scripts and playlists under the names of videos: refused by name, and nothing that they point to is opened.

use crate::corpus::{empty, files, how2sign, ids, phoenix, store};
use crate::program::{command, extract, finish, words};
use serde_json::json;
use std::path::Path;
use std::process::Command;

/// A good clip and scripts that point to `outside`, all listed in `own.jsonl`. The ids of the scripts with a part of what is
/// said of each.
fn clips(place: &Path, outside: &Path) -> Vec<(String, &'static str)> {
    let write = |name: &str, bytes: &[u8]| std::fs::write(place.join(name), bytes).expect("a file");
    let video = files(&how2sign().join("video_level/test/rgb_front/raw_videos"))[0].clone();
    let picture = files(&files(&phoenix().join("features/fullFrame-210x260px/test"))[0])[0].clone();
    std::fs::copy(&video, place.join("good.mp4")).expect("a copy");
    for (from, to) in [(&video, "secret.mp4"), (&video, "near.mp4"), (&picture, "secret.png")] {
        std::fs::copy(from, outside.join(to)).expect("a copy");
    }
    std::fs::copy(&video, place.join("near.mp4")).expect("a copy");
    let secret = outside.join("secret.mp4").display().to_string();
    let part = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-VERSION:3\n#EXTINF:4.0,\n";
    let mpd = |url: &str| {
        format!(
            "<?xml version=\"1.0\"?>\n<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" \
             mediaPresentationDuration=\"PT4S\" profiles=\"urn:mpeg:dash:profile:isoff-on-demand:2011\"><Period>\
             <AdaptationSet mimeType=\"video/mp4\"><Representation id=\"1\" bandwidth=\"1000\"><BaseURL>{url}</BaseURL>\
             </Representation></AdaptationSet></Period></MPD>\n"
        )
    };
    let scripts = [
        ("next", "concat", "ffconcat version 1.0\nfile near.mp4\n".to_owned()),
        ("itself", "concat", "ffconcat version 1.0\nfile itself.mp4\n".to_owned()),
        ("inner", "concat", "ffconcat version 1.0\nfile hls.mp4\n".to_owned()),
        ("unsafe", "concat", format!("ffconcat version 1.0\nfile '{secret}'\n")),
        ("hls", "hls", format!("{part}{secret}\n#EXT-X-ENDLIST\n")),
        ("address", "hls", format!("{part}http://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")),
        ("dash", "dash", mpd(&secret)),
        (
            "session",
            "sdp",
            "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n\
             a=rtpmap:96 H264/90000\n"
                .to_owned(),
        ),
    ];
    let mut said = Vec::new();
    let mut lines = vec![json!({"id": "good", "video": "good.mp4"})];
    for (id, format, script) in &scripts {
        // By its content alone, FFmpeg does not see what a session is.
        let endings = if *format == "sdp" { &["mp4"][..] } else { &["mp4", "jpg"] };
        for ending in endings {
            let (id, name) = (format!("{id}-{ending}"), format!("{id}.{ending}"));
            write(&name, script.as_bytes());
            lines.push(json!({"id": id, "video": name}));
            said.push((id, *format));
        }
    }
    // A folder of pictures where one is a script, and a picture that draws another one.
    for (id, text) in [
        ("pictures", scripts[0].2.clone()),
        ("drawing", format!("<svg xmlns=\"http://www.w3.org/2000/svg\"><image href=\"{secret}\"/></svg>")),
    ] {
        std::fs::create_dir(place.join(id)).expect("a folder");
        write(&format!("{id}/images0001.jpg"), text.as_bytes());
        lines.push(json!({"id": id, "frames": id}));
        said.push((id.to_owned(), "images0001.jpg"));
    }
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    write("own.jsonl", text.as_bytes());
    said
}

#[test]
fn playlists_are_refused_by_name() {
    let (place, outside) = (empty(), empty());
    let scripts = clips(place.path(), outside.path());
    let done = extract(place.path(), "--dataset own.jsonl --streams spatial --out out");
    for (id, said) in &scripts {
        let parts: &[&str] =
            if said.ends_with(".jpg") { &[said] } else { &["a playlist (", said, "give the video itself"] };
        done.fails(id, parts);
    }
    assert_eq!(ids(&store(&place.path().join("out"), "all")), ["good"]);
}

/// What the program asks of the system: no socket, and no file besides its own, those of the system and of the data set.
#[test]
fn nothing_else_is_opened() {
    if !Command::new("strace").arg("-V").output().is_ok_and(|output| output.status.success()) {
        println!("skipped: no strace");
        return;
    }
    let (place, outside) = (empty(), empty());
    clips(place.path(), outside.path());
    let log = outside.path().join("calls");
    let program = command("extract");
    let mut traced = Command::new("strace");
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => traced.env(name, value),
            None => traced.env_remove(name),
        };
    }
    traced.args(["-f", "-qq", "-e", "trace=open,openat,openat2,socket,connect", "-o"]).arg(&log);
    traced
        .arg(program.get_program())
        .args(words("--preset tiny --gpus cpu --dataset own.jsonl --streams spatial --out out"));
    traced.current_dir(place.path());
    finish(traced).exits(1);

    let calls = std::fs::read_to_string(&log).expect("the calls");
    let opened: Vec<&str> =
        calls.lines().filter(|call| call.contains("open") && !call.contains(" = -1")).collect();
    let of = |name: &str| opened.iter().filter(|call| call.contains(name)).count();
    assert!(of("good.mp4\"") > 0 && of("next.mp4\"") > 0, "{opened:?}");
    // It lies in the data set's folder, but only scripts name it.
    assert_eq!(of("near.mp4\""), 0, "{opened:?}");
    let outside = outside.path().to_str().expect("a path");
    for call in calls.lines() {
        assert!(!call.contains("socket(") && !call.contains("connect(") && !call.contains(outside), "{call}");
    }
}
