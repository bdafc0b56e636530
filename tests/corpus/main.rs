//! `render-corpus`: draws a small sign-language corpus, so that the whole of SignClip can be tried and tested
//! where the real data sets, which need a licence, are not at hand.
//!
//! A drawn signer reports the weather with hands and lips. The files lie as PHOENIX-2014-T or How2Sign have
//! them; beside them are the 68 landmarks of every drawn face.

#![allow(clippy::print_stderr)]
#![allow(clippy::disallowed_methods)]

mod best;
mod canvas;
mod corpus;
mod face;
mod figure;
mod geometry;
mod grammar;
mod handshape;
mod how2sign;
mod landmarks;
mod level;
mod lexicon;
mod mouthing;
mod performance;
mod phoenix;
mod plan;
mod random;
mod sentences;
mod sign;
mod signer;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use crate::best::Best;
use crate::corpus::{Counts, Layout, Parameters};
use crate::level::Level;
use crate::plan::SPLITS;

/// Draw a small corpus of a signed weather report, in the layout of a real data set.
///
/// The same seed gives the same corpus. Sentences are never shared between the splits; every sign of dev and
/// test occurs in train. Two signers take turns in every split. The landmarks of the drawn
/// faces are in landmarks/<split>/<clip>.npy, float32 [frames, 68, 2].
///
/// A quarter of the signs have two meanings that only the mouth tells apart; ambiguous.json lists these pairs of
/// words. Either word of a pair is right in half of the cases, in every split.
///
/// With --level words have the frequencies of a language, four pairs are left, and 30 % of the signs are not mouthed;
/// best.json has the best scores that such a corpus allows. noisy: 15 % of the signs have the hands of a neighbour or are
/// midway to them, and 20 % of the lip shapes are the ones they look like. lagged: noisy, and the lips of a clip are up
/// to 8 frames early or late.
///
/// With --sentences no corpus is drawn, but a text written: sentences of the same grammar, one a line, none of dev and
/// test. A sentence that differs from one of these only in the words of a pair is left out as well.
#[derive(Debug, Parser)]
#[command(
    name = "render-corpus",
    version,
    after_help = "Examples:\n  \
    render-corpus --out demo/phoenix\n  \
    render-corpus --out demo/how2sign --layout how2sign --clips 40\n  \
    render-corpus --out demo/tiny --clips 16 --seed 7\n  \
    render-corpus --out study/noisy --clips 2400 --level noisy\n  \
    render-corpus --out study/noisy.txt --clips 2400 --level noisy --sentences 100000\n\n\
    Exit status: 0 done, or the corpus is there already; 2 it could not be made."
)]
struct Arguments {
    /// Directory to write to: empty, or holding this corpus already; the file, with --sentences
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Which data set's files to imitate
    #[arg(long, value_enum, default_value_t = Layout::Phoenix)]
    layout: Layout,
    /// Sentences over all splits; an eighth each for dev and test
    #[arg(long, default_value_t = 320)]
    clips: usize,
    /// Everything random follows from this number
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How much there is to gain from the mouth, and how hard it is [default: the demo's corpus]
    #[arg(long, value_enum)]
    level: Option<Level>,
    /// Write so many sentences instead of a corpus
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    sentences: Option<u32>,
    /// Frame size of how2sign videos, both even [default: 640x360]
    #[arg(long, value_name = "WxH", value_parser = parse_size)]
    video_size: Option<[usize; 2]>,
    /// Threads [default: one per core]
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    jobs: usize,
}

fn parse_size(text: &str) -> Result<[usize; 2]> {
    let parsed = text.split_once('x').and_then(|(w, h)| Some([w.parse().ok()?, h.parse().ok()?]));
    match parsed {
        Some([w, h])
            if (128..=4096).contains(&w) && (128..=4096).contains(&h) && w % 2 == 0 && h % 2 == 0 =>
        {
            Ok([w, h])
        }
        _ => bail!("expected even numbers of 128 to 4096 such as 640x360"),
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("render-corpus: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let size = match (arguments.layout, arguments.video_size) {
        (Layout::Phoenix, None) => [210, 260],
        (Layout::Phoenix, Some(_)) => {
            bail!("--video-size is for --layout how2sign; PHOENIX frames are 210x260")
        }
        (Layout::How2sign, size) => size.unwrap_or([640, 360]),
    };
    let &Arguments { layout, clips, seed, level, .. } = arguments;
    let parameters = Parameters::new(layout, clips, seed, size, level);
    let (language, usage) = (parameters.language(), parameters.usage());
    let (clips, seen) = plan::plan(clips, seed, language, usage)?;
    let root = &arguments.out;
    if let Some(count) = arguments.sentences {
        let text = sentences::text(count as usize, &clips, &parameters)?;
        corpus::write_file(root, text.as_bytes())?;
        writeln!(std::io::stdout(), "{}: {count} sentences", root.display()).ok();
        return Ok(());
    }
    if let Some(counts) = corpus::begin(root, &parameters)? {
        let headline = format!("{} holds this corpus already, nothing to do.", root.display());
        report(&headline, root, &parameters, &counts, seen);
        return Ok(());
    }
    // Frames are drawn in parallel; threads inside OpenCV would only get in the way.
    opencv::core::set_num_threads(1)?;
    rayon::ThreadPoolBuilder::new().num_threads(arguments.jobs).build_global()?;
    for split in SPLITS {
        let folder = root.join("landmarks").join(arguments.layout.folder(split));
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }

    let started = Instant::now();
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} clips  {per_sec}  {eta} left")
        .map_err(|error| anyhow!("progress bar: {error}"))?;
    let bar = ProgressBar::new(arguments.clips as u64).with_style(style).with_message("rendering");
    let done = || bar.inc(1);
    let counts = match arguments.layout {
        Layout::Phoenix => phoenix::render(root, &clips, &parameters, &done),
        Layout::How2sign => how2sign::render(root, &clips, &parameters, &done),
    };
    bar.finish_and_clear();
    let counts = counts?;
    let pairs = serde_json::json!({ "pairs": lexicon::ambiguous(language, usage) });
    corpus::write_file(&root.join("ambiguous.json"), format!("{pairs:#}\n").as_bytes())?;
    if let Some(level) = level {
        let best = serde_json::to_string_pretty(&Best::of(level, language))?;
        corpus::write_file(&root.join("best.json"), (best + "\n").as_bytes())?;
    }
    corpus::finish(root, parameters.clone(), &counts)?;
    let headline = format!("Rendered in {:.1} s.", started.elapsed().as_secs_f64());
    report(&headline, root, &parameters, &counts, seen);
    Ok(())
}

/// What there is now. A reader that closes the pipe early (`| head`) is not an error.
fn report(headline: &str, root: &Path, parameters: &Parameters, counts: &Counts, seen: usize) {
    let mut text = format!("{headline}\n{:>10} {:>6} {:>7} {:>8}\n", "split", "clips", "frames", "seconds");
    for (place, split) in SPLITS.into_iter().enumerate() {
        let name = parameters.layout.folder(split);
        let (clips, frames) = (counts.clips[place], counts.frames[place]);
        text += &format!("{name:>10} {clips:>6} {frames:>7} {:>8.1}\n", frames as f64 / 25.0);
    }
    let Counts { shortest, longest, glosses, words, .. } = counts;
    text += &format!("{shortest} to {longest} frames a clip, {glosses} signs, {words} spoken words.\n");
    if seen < plan::SEEN {
        text +=
            &format!("Note: a sign of dev or test occurs only {seen} times in train; use more --clips.\n");
    }
    let (tables, pictures) = match parameters.layout {
        Layout::Phoenix => {
            ("annotations/manual/PHOENIX-2014-T.*.corpus.csv", "features/fullFrame-210x260px/<split>/<clip>/")
        }
        Layout::How2sign => ("how2sign_realigned_*.csv", "video_level/<split>/rgb_front/raw_videos/*.mp4"),
    };
    let best = parameters.level.map(|_| ("best", "best.json"));
    for (what, place) in [
        ("texts", tables),
        ("pictures", pictures),
        ("landmarks", "landmarks/<split>/<clip>.npy"),
        ("ambiguous", "ambiguous.json"),
    ]
    .into_iter()
    .chain(best)
    {
        text += &format!("{what:>10}: {}\n", root.join(place).display());
    }
    std::io::stdout().write_all(text.as_bytes()).ok();
}
