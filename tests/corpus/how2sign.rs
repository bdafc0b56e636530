//! The How2Sign layout: full-length videos, and a tab-separated table per split that says in which seconds of
//! which video a sentence lies.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};
use rayon::prelude::*;

use crate::canvas::Canvas;
use crate::corpus::{Counts, Layout, Parameters, write_file};
use crate::landmarks::Landmarks;
use crate::level::Utterance;
use crate::lexicon::Language;
use crate::plan::{Clip, SPLITS, Split};
use crate::random::Random;
use crate::signer::{FIRST, SECOND, Scene};
use crate::{figure, performance};

const FRAMES_PER_SECOND: f64 = 25.0;
const SENTENCES_PER_VIDEO: usize = 5;

struct Video<'a> {
    id: String,
    split: Split,
    /// The number that the names carry: one per signer.
    number: usize,
    clips: Vec<(usize, &'a Clip)>,
}

impl Video<'_> {
    fn name(&self) -> String {
        format!("{}-{}-rgb_front", self.id, self.number)
    }

    fn sentence_name(&self, place: usize) -> String {
        format!("{}_{place}-{}-rgb_front", self.id, self.number)
    }
}

/// Where a sentence lies in its video: first frame, frames.
type Span = (usize, usize);

pub(crate) fn render(
    root: &Path,
    clips: &[Clip],
    parameters: &Parameters,
    done: &(dyn Fn() + Sync),
) -> Result<Counts> {
    find_ffmpeg()?;
    for split in SPLITS {
        let videos =
            root.join("video_level").join(Layout::How2sign.folder(split)).join("rgb_front/raw_videos");
        fs::create_dir_all(&videos).with_context(|| format!("cannot create {}", videos.display()))?;
    }
    let videos = videos(clips, parameters.seed);
    let spans: Vec<Vec<Span>> =
        videos.par_iter().map(|video| render_video(root, video, parameters, done)).collect::<Result<_>>()?;
    let mut frames = vec![0; clips.len()];
    for (video, spans) in videos.iter().zip(&spans) {
        video.clips.iter().zip(spans).for_each(|((index, _), span)| frames[*index] = span.1);
    }
    for split in SPLITS {
        let mut table = String::from(
            "VIDEO_ID\tVIDEO_NAME\tSENTENCE_ID\tSENTENCE_NAME\tSTART_REALIGNED\tEND_REALIGNED\tSENTENCE\r\n",
        );
        for (video, spans) in videos.iter().zip(&spans).filter(|(video, _)| video.split == split) {
            for (place, ((_, clip), &span)) in video.clips.iter().zip(spans).enumerate() {
                let (start, end) = seconds(span);
                let fields = [
                    video.id.clone(),
                    video.name(),
                    format!("{}_{place}", video.id),
                    video.sentence_name(place),
                    start,
                    end,
                    quoted(&clip.sentence.text),
                ];
                table.push_str(&fields.join("\t"));
                table.push_str("\r\n");
            }
        }
        write_file(
            &root.join(format!("how2sign_realigned_{}.csv", Layout::How2sign.folder(split))),
            table.as_bytes(),
        )?;
    }
    Ok(Counts::new(clips, &frames))
}

/// Five sentences of one split and one signer make a video.
fn videos(clips: &[Clip], seed: u64) -> Vec<Video<'_>> {
    let mut random = Random::named(seed, "video ids");
    let mut ids = BTreeSet::new();
    let mut videos = Vec::new();
    for split in SPLITS {
        for (signer, number) in [(&FIRST, 1), (&SECOND, 8)] {
            let own: Vec<(usize, &Clip)> = (clips.iter().enumerate())
                .filter(|(_, clip)| clip.split == split && clip.signer.name == signer.name)
                .collect();
            for clips in own.chunks(SENTENCES_PER_VIDEO) {
                let mut id = video_id(videos.len(), &mut random);
                while !ids.insert(id.clone()) {
                    id = video_id(videos.len(), &mut random);
                }
                videos.push(Video { id, split, number, clips: clips.to_vec() });
            }
        }
    }
    videos
}

/// Eleven characters as video platforms use them. Every fourth begins with `-` or `_`, as some real ones do:
/// a reader that splits names there, or takes them for an option, shall find out here.
fn video_id(count: usize, random: &mut Random) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let first = match count % 8 {
        1 => '-',
        5 => '_',
        _ => char::from(LETTERS[random.below(62)]),
    };
    std::iter::once(first).chain((1..11).map(|_| char::from(LETTERS[random.below(64)]))).collect()
}

/// Start and end in the table's hundredths of a second. They are chosen so that all usual readings agree on the
/// frames: those with start <= time <= end, and `round((end - start) * 25)` from `round(start * 25)`.
fn seconds((first, frames): Span) -> (String, String) {
    let start = (first as f64 / FRAMES_PER_SECOND - 0.01).max(0.0);
    let end = (first + frames) as f64 / FRAMES_PER_SECOND - 0.02;
    (format!("{start:.2}"), format!("{end:.2}"))
}

/// The double-quote rule of CSV.
fn quoted(text: &str) -> String {
    if text.contains(['"', '\t']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

fn find_ffmpeg() -> Result<()> {
    let found = Command::new("ffmpeg").arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    match found {
        Ok(status) if status.success() => Ok(()),
        _ => bail!("the program ffmpeg is missing, which writes the videos: apt-get install ffmpeg"),
    }
}

fn start_ffmpeg(path: &Path, [width, height]: [usize; 2]) -> Result<Child> {
    Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24"])
        .args(["-video_size", &format!("{width}x{height}"), "-framerate", "25", "-i", "pipe:0"])
        .args(["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-crf", "18"])
        // One thread and no version strings: the same frames give the same file.
        .args(["-threads", "1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-f", "mp4"])
        .arg(path)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start ffmpeg")
}

fn render_video(
    root: &Path,
    video: &Video<'_>,
    parameters: &Parameters,
    done: &(dyn Fn() + Sync),
) -> Result<Vec<Span>> {
    let Parameters { seed, level, size, .. } = *parameters;
    let split = Layout::How2sign.folder(video.split);
    let name = video.name();
    let path = root.join("video_level").join(split).join("rgb_front/raw_videos").join(format!("{name}.mp4"));
    let mut random = Random::named(seed, &name);
    let scene = Scene::new(size, &mut random);
    let signer = video.clips[0].1.signer.today(&mut random);
    let [top, bottom] = signer.background;
    let mut canvas = Canvas::new(scene.camera, top, bottom, scene.light)?;
    let mut encoder = start_ffmpeg(&path, size)?;
    let mut input = encoder.stdin.take().ok_or_else(|| anyhow!("ffmpeg takes no input"))?;

    let mut frame_index = 0;
    let mut spans = Vec::new();
    let mut draw = |bodies: &[figure::BodyPose], random: &mut Random| -> Result<Landmarks> {
        let mut landmarks = Landmarks::default();
        for body in bodies {
            let face = figure::draw(&mut canvas, &signer, scene.head(frame_index), body)?;
            landmarks.push(&face, canvas.camera());
            let frame = canvas.frame(random)?;
            input.write_all(&frame).with_context(|| format!("ffmpeg stopped writing {}", path.display()))?;
            frame_index += 1;
        }
        Ok(landmarks)
    };
    let mut first = 0;
    for (place, (_, clip)) in video.clips.iter().enumerate() {
        let pause = vec![performance::resting(); 12 + random.below(14)];
        draw(&pause, &mut random)?;
        first += pause.len();
        let name = video.sentence_name(place);
        let utterance = Utterance::of(&clip.sentence, level, Language::English, seed, &name);
        let bodies = performance::perform(&utterance, &scene.manner, &mut random);
        let landmarks = draw(&bodies, &mut random)?;
        landmarks.write(&root.join("landmarks").join(split).join(format!("{name}.npy")))?;
        spans.push((first, bodies.len()));
        first += bodies.len();
        done();
    }
    draw(&[performance::resting(); 15], &mut random)?;
    drop(input);
    let output = encoder.wait_with_output().context("cannot wait for ffmpeg")?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        bail!(
            "ffmpeg could not write {}: {}",
            path.display(),
            message.lines().next().unwrap_or("no message")
        );
    }
    Ok(spans)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_readings_of_the_times_agree() {
        for span in (0..3000).flat_map(|first| [20, 57, 133].map(|frames| (first + 1, frames))) {
            let (start, end) = seconds(span);
            let (start, end): (f64, f64) = (start.parse().unwrap(), end.parse().unwrap());
            assert_eq!(
                ((start * 25.0).round(), ((end - start) * 25.0).round()),
                (span.0 as f64, span.1 as f64)
            );
            let inside = |frame: usize| (start..=end).contains(&(frame as f64 / 25.0));
            assert!(!inside(span.0 - 1) && inside(span.0));
            assert!(inside(span.0 + span.1 - 1) && !inside(span.0 + span.1));
        }
    }

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(quoted("Near \"Dover\"."), "\"Near \"\"Dover\"\".\"");
        assert_eq!(quoted("Fog, then rain."), "Fog, then rain.");
    }
}
