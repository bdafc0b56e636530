//! The end of a run on the screen: what was stored, what failed, what a user should look at, and what comes next.

#![allow(clippy::print_stdout)]

use crate::cli::args::RunArgs;
use crate::media::remark::Remark;
use crate::recipe::Recipe;
use crate::run::interrupt;
use crate::run::pipeline::Outcome;
use crate::run::plan::Plan;
use crate::streams::config::StreamName;
use crate::streams::mouthing::gaps;
use signclip_common::manifest::Clip;
use signclip_common::store::STORE_FILE;
use signclip_common::{Error, Result, plural};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

/// What a run did, by split.
pub type Outcomes = BTreeMap<String, Outcome>;

/// Prints what was done, as text or JSON. Returns the exit code: 1 where clips failed, 130 where some were not tried.
pub fn summarise(
    args: &RunArgs,
    recipe: &Recipe,
    plan: &Plan,
    out: &Path,
    outcomes: &Outcomes,
) -> Result<ExitCode> {
    let failed: usize = outcomes.values().map(|o| o.failures.len()).sum();
    let left: usize = outcomes.values().map(|o| o.left).sum();
    let faceless: usize = outcomes.values().map(|o| o.without_face).sum();
    if args.json {
        print_json(outcomes)?;
    } else {
        println!("split      stored  already there  failed     frames   frames/s  device busy");
        for (name, o) in outcomes {
            let rate = o.frames as f64 / o.seconds.max(1e-9);
            println!(
                "{name:<8} {:>8} {:>14} {:>7} {:>10} {rate:>10.1} {:>10.0} %",
                o.stored,
                o.already_done,
                o.failures.len(),
                o.frames,
                100.0 * o.busy
            );
        }
        for (name, o) in outcomes.iter().filter(|(_, o)| o.stored > 0) {
            println!("{name}: {}; limited by: {}", o.stages, o.stages.limiting());
        }
        for failure in outcomes.values().flat_map(|o| &o.failures) {
            println!("failed: {}: {}", failure.id, failure.reason);
        }
        remarks(outcomes);
        faces(outcomes);
        gaps(recipe.mouthing().and_then(|(config, _)| config.max_gap), outcomes);
        match (faceless, args.require_face) {
            (0, _) => {}
            (n, false) => {
                println!(
                    "{} without any face or mouth, with a mouthing stream of zeros (--require-face refuses them)",
                    plural(n, "clip")
                );
            }
            (n, true) => {
                println!(
                    "{} without any face or mouth, with a mouthing stream of zeros, stored by earlier runs;",
                    plural(n, "clip")
                );
                println!(
                    "--require-face refuses new ones only: extract into another folder to be without them"
                );
            }
        }
        println!("\nfeatures: {}", out.display());
        if let Some(folder) =
            args.preview.as_ref().filter(|_| recipe.streams.contains_key(&StreamName::Mouthing))
        {
            let stored: usize = outcomes.values().map(|o| o.stored).sum();
            let already: usize = outcomes.values().map(|o| o.already_done).sum();
            println!(
                "sheets:   {} ({}; none of the {already} already there)",
                folder.display(),
                plural(stored, "clip")
            );
        }
        if failed > 0 {
            println!(
                "{} failed (failures-*.jsonl); fix what is wrong and run the same command again, or with --retry-failed",
                plural(failed, "clip")
            );
        }
        if left > 0 {
            println!("interrupted: {} not tried; the same command resumes", plural(left, "clip"));
        }
        println!("check:    extract --verify --out {}", out.display());
        println!("next:     {}", next_step(plan, out));
    }
    let no_sheet = outcomes.values().any(|o| !o.without_sheet.is_empty());
    let refused = (args.require_face && faceless > 0) || no_sheet;
    Ok(match (left, failed > 0 || refused) {
        (0, false) => ExitCode::SUCCESS,
        (0, true) => ExitCode::from(1),
        _ => ExitCode::from(interrupt::EXIT_CODE),
    })
}

/// Prints each remark with the number of clips it is about and one of their ids.
fn remarks(outcomes: &Outcomes) {
    let mut all: BTreeMap<Remark, Vec<&str>> = BTreeMap::new();
    for (remark, ids) in outcomes.values().flat_map(|o| &o.remarks) {
        all.entry(*remark).or_default().extend(ids.iter().map(String::as_str));
    }
    for (remark, ids) in &all {
        println!("remark: {}, e.g. {}: {}", plural(ids.len(), "clip"), ids[0], remark.text());
    }
    for (id, reason) in outcomes.values().flat_map(|o| &o.without_sheet) {
        println!("no sheet: {id}: {reason}");
    }
}

/// What can be done with the features now: training needs a sentence for every clip, and two splits.
pub fn next_step(plan: &Plan, out: &Path) -> String {
    let clips: Vec<&Clip> = plan.splits.iter().flat_map(|split| &split.clips).collect();
    let silent = clips.iter().filter(|c| c.text.as_deref().is_none_or(|text| text.trim().is_empty())).count();
    let absent: Vec<&str> =
        ["train", "dev"].into_iter().filter(|split| !out.join(split).join(STORE_FILE).is_file()).collect();
    match (silent, absent.as_slice()) {
        (0, []) => format!("train --features {}", out.display()),
        (0, absent) => {
            let absent = absent.join(" and no split ");
            format!("there is no split {absent} here, which train needs: extract it, or give the clips a \"split\"")
        }
        (n, _) if n == clips.len() => {
            "these clips have no sentences, which train needs (give them in a --dataset FILE.jsonl); a video is put into \
             text with: translate VIDEO --run RUN"
                .to_owned()
        }
        (n, _) => format!("{} without a sentence, which train needs: add the texts to the data set", plural(n, "clip")),
    }
}

/// In how many frames there was a face, and the clips that have fewest.
fn faces(outcomes: &Outcomes) {
    const SHOWN: usize = 5;
    let mut clips: Vec<(f64, &str)> = outcomes
        .values()
        .flat_map(|o| o.face_coverage.iter().map(|(id, &coverage)| (coverage, id.as_str())))
        .collect();
    if clips.is_empty() {
        return;
    }
    let mean = clips.iter().map(|(coverage, _)| coverage).sum::<f64>() / clips.len() as f64;
    println!("\nface in {:.1} % of the frames of a clip on average", 100.0 * mean);
    clips.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(b.1)));
    for (coverage, id) in clips.iter().take(SHOWN).filter(|(coverage, _)| *coverage < 1.0) {
        println!("  {:>5.1} %  {id}", 100.0 * coverage);
    }
}

/// Clips in which the signer's mouth was not found for long, and those in which it lies outside of the picture.
fn gaps(max_gap: Option<f64>, outcomes: &Outcomes) {
    const CLIPS: usize = 20;
    const GAPS: usize = 5;
    let rest = |clips: usize, field: &str| {
        let more = clips.saturating_sub(CLIPS);
        (more > 0).then(|| format!("  and {more} more clips (\"{field}\" in clips-*.jsonl)"))
    };
    let long: Vec<_> = outcomes.values().flat_map(|o| &o.long_gaps).collect();
    if !long.is_empty() {
        let becomes = match max_gap {
            Some(seconds) => format!("zeros where it is longer than {seconds} s, else interpolated"),
            None => "interpolated; --max-gap SECONDS makes them zeros".to_owned(),
        };
        println!("no face for more than {} s (mouthing there is {becomes}):", gaps::NAMED);
        for (id, times) in long.iter().take(CLIPS) {
            println!("  {id}: {}", gaps::text(times, GAPS));
        }
        rest(long.len(), "missed").iter().for_each(|line| println!("{line}"));
    }
    let outside: Vec<_> = outcomes.values().flat_map(|o| &o.mouths_outside).collect();
    if !outside.is_empty() {
        println!("faces whose mouth lies outside of the picture, not counted as found:");
        for (id, frames) in outside.iter().take(CLIPS) {
            println!("  {id}: {frames} frames");
        }
        rest(outside.len(), "mouths_outside").iter().for_each(|line| println!("{line}"));
    }
}

/// Prints a value as JSON. Errors: names that are not UTF-8.
pub fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|e| {
        Error::usage(
            format!("--json: {e}"),
            "JSON holds UTF-8 only: rename what has another name, or link to it",
        )
    })?;
    println!("{text}");
    Ok(())
}
