//! `extract --verify`: every byte of a store against its index.

#![allow(clippy::print_stdout)]

use crate::cli::args::RunArgs;
use crate::cli::summary::print_json;
use crate::run::plan::bytes;
use signclip_common::progress::{Progress, start_log};
use signclip_common::store::{self, STORE_FILE};
use signclip_common::{Error, Result, plural};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Prints what is wrong with the stores that the flags name. Exit code 1 where anything is.
pub fn run(args: &RunArgs) -> Result<ExitCode> {
    start_log(None)?;
    let Some(out) =
        args.out.clone().or_else(|| args.selection.dataset.as_deref().map(|d| args.out_of(&dataset_name(d))))
    else {
        return Err(Error::usage("--verify: no store named", "add --out DIR or --dataset NAME"));
    };
    let mut folders: Vec<PathBuf> = Vec::new();
    if !out.is_dir() {
        return Err(Error::input(&out, "", "no such folder", "name one that extract wrote, with --out DIR"));
    }
    for entry in std::fs::read_dir(&out).map_err(Error::io(&out))? {
        let folder = entry.map_err(Error::io(&out))?.path();
        let name = folder.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        // A store that lost its description is one too.
        let is_store = folder.join(STORE_FILE).is_file() || folder.join("clips-00000.jsonl").is_file();
        if is_store && (args.selection.split.is_empty() || args.selection.split.contains(&name)) {
            folders.push(folder);
        }
    }
    folders.sort();
    if let Some(split) = args.selection.split.iter().find(|split| !folders.contains(&out.join(split))) {
        return Err(Error::input(
            &out,
            "",
            format!("no split {split:?} here"),
            "correct --split, or leave it out",
        ));
    }
    if folders.is_empty() {
        return Err(Error::input(&out, "", "no feature store here", "make one with: extract --dataset NAME"));
    }
    let mut reports = BTreeMap::new();
    for folder in folders {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let total = store::payload_bytes(&folder)?;
        let progress = Progress::new(&name, total, "bytes");
        let report = store::verify(&folder, |n| progress.advance(n, String::new))?;
        progress.finish();
        reports.insert(name, report);
    }
    let problems: usize = reports.values().map(|r| r.problems.len()).sum();
    if args.json {
        print_json(&reports)?;
    } else {
        for (name, r) in &reports {
            println!("{name:<8} {:>7} clips {:>9} frames {:>12}", r.clips, r.frames, bytes(r.bytes));
            r.problems.iter().for_each(|p| println!("  {p}"));
        }
        match problems {
            0 => println!("every length and checksum agrees, every value is finite"),
            n => println!(
                "{}; make the clips named again with the command that made the store and --only ID",
                plural(n, "problem")
            ),
        }
    }
    Ok(if problems > 0 { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

fn dataset_name(dataset: &str) -> String {
    let stem = Path::new(dataset).file_stem().map(|s| s.to_string_lossy().into_owned());
    stem.unwrap_or_else(|| dataset.to_owned())
}
