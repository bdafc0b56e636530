//! How fast a store is opened, and clips are read from it in random order.
//!
//! ```text
//! bench_store write DIR --clips 1000 --frames 100     a store of random rows, as wide as the official encoders'
//! bench_store open  DIR                               the index, and where every clip lies
//! bench_store read  DIR                               every clip copied out of the memory map, in random order
//! ```
//!
//! Each command prints one JSON object.

#![allow(clippy::print_stdout)]
#![allow(clippy::disallowed_methods)]

use clap::{Parser, Subcommand};
use serde_json::{Value, json};
use signclip_common::manifest::TextRules;
use signclip_common::panics::program;
use signclip_common::store::{
    ClipFacts, FORMAT, MOUTHING, RowRule, SPATIAL, Store, StoreDtype, StoreInfo, StoreWriter, StreamInfo,
};
use signclip_common::synthetic::Random;
use signclip_common::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Widths of the streams: AV-HuBERT large, CLIP ViT-L/14 with S².
const STREAMS: [(&str, usize); 2] = [(MOUTHING, 1024), (SPATIAL, 2048)];

/// Time a feature store.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a store of random rows
    Write {
        dir: PathBuf,
        #[arg(long)]
        clips: usize,
        /// Frames of a clip on average; clips have half of that to one and a half times
        #[arg(long)]
        frames: usize,
    },
    /// Open a store, several times
    Open {
        dir: PathBuf,
        #[arg(long, default_value_t = 5)]
        times: usize,
    },
    /// Read every clip in random order, several times; the first one also maps the pages
    Read {
        dir: PathBuf,
        #[arg(long, default_value_t = 5)]
        times: usize,
    },
}

fn main() -> ExitCode {
    program(|| {
        println!("{}", run(&Cli::parse().command).map_err(|e| vec![e])?);
        Ok(ExitCode::SUCCESS)
    })
}

fn run(command: &Command) -> Result<Value> {
    match command {
        Command::Write { dir, clips, frames } => write(dir, *clips, *frames),
        Command::Open { dir, times } => {
            let open = || -> Result<(usize, f64)> {
                let begun = Instant::now();
                let clips = Store::open(dir)?.clips.len();
                Ok((clips, begun.elapsed().as_secs_f64()))
            };
            let opened = (0..*times).map(|_| open()).collect::<Result<Vec<_>>>()?;
            let clips = opened.first().map_or(0, |(clips, _)| *clips);
            Ok(
                json!({ "clips": clips, "seconds": opened.into_iter().map(|(_, seconds)| seconds).collect::<Vec<_>>() }),
            )
        }
        Command::Read { dir, times } => {
            let store = Store::open(dir)?;
            let read = (0..*times).map(|turn| read(&store, turn as u64)).collect::<Result<Vec<_>>>()?;
            let bytes = read.first().map_or(0, |(bytes, _)| *bytes);
            Ok(
                json!({ "bytes": bytes, "seconds": read.into_iter().map(|(_, seconds)| seconds).collect::<Vec<_>>() }),
            )
        }
    }
}

fn write(dir: &Path, clips: usize, frames: usize) -> Result<Value> {
    let stream = |(name, dim): (&str, usize)| {
        let encoder = format!("{name} encoder");
        let (compute, weights, config) = ("bf16".to_owned(), BTreeMap::new(), Value::Null);
        (name.to_owned(), StreamInfo { dim, rows: RowRule::EACH_FRAME, encoder, compute, weights, config })
    };
    let info = StoreInfo {
        format: FORMAT,
        dataset: "random".to_owned(),
        split: "train".to_owned(),
        language: None,
        text: TextRules { lowercase: false, final_dot: false },
        dtype: StoreDtype::F16,
        fps: 25.0,
        streams: STREAMS.into_iter().map(stream).collect(),
        config: Value::Null,
        tool: "bench_store".to_owned(),
    };
    let mut store = StoreWriter::open(dir, info, 0)?;
    let lengths = Random::new("lengths", 0);
    let longest = frames / 2 + frames;
    let values = Random::new("values", 0);
    let random: Vec<f32> = (0..longest.max(1) * 2048).map(|i| values.signed(i as u64) as f32).collect();
    let begun = Instant::now();
    for clip in 0..clips {
        let frames = (frames / 2 + (lengths.unit(clip as u64) * (frames + 1) as f64) as usize).max(1);
        let mut writer = store.begin()?;
        for (name, dim) in STREAMS {
            writer.append(name, &random[..frames.min(longest.max(1)) * dim])?;
        }
        let text =
            format!("the sentence of clip {clip}, about as long as those of the data sets are on average");
        let facts = ClipFacts {
            text: Some(text),
            signer: Some("Signer08".to_owned()),
            source_fps: 25.0,
            source_frames: frames,
            face_coverage: Some(1.0),
            source: format!("features/fullFrame-210x260px/train/clip_{clip:06}"),
            ..ClipFacts::default()
        };
        writer.finish(&format!("clip_{clip:06}"), frames, facts)?;
    }
    Ok(json!({ "clips": clips, "seconds": begun.elapsed().as_secs_f64() }))
}

/// Copy every clip's rows of both streams into memory of their own, as a batch does: bytes and seconds.
fn read(store: &Store, turn: u64) -> Result<(usize, f64)> {
    let order = Random::new("order", turn);
    let mut clips: Vec<usize> = (0..store.clips.len()).collect();
    clips.sort_by_key(|&clip| order.bits(clip as u64));
    let begun = Instant::now();
    let mut bytes = 0;
    for clip in clips {
        for (name, _) in STREAMS {
            let rows = store.features(clip, name).ok_or_else(|| {
                Error::input(
                    &store.folder,
                    "streams",
                    format!("no stream {name}"),
                    "write it with bench_store",
                )
            })?;
            bytes += std::hint::black_box(rows.bytes.to_vec()).len();
        }
    }
    Ok((bytes, begun.elapsed().as_secs_f64()))
}
