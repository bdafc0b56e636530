//! `evaluate`: translate a split with a trained run and score it; report on a run; compare two configurations; judge the
//! study; score any two text files, or export translations for other scorers; merge an adapter.

#![allow(clippy::print_stdout)]

mod beside;
mod compare;
mod export;
mod export_scores;
mod rating_sheet;
mod report;
mod run;
mod score;
mod verdicts;

use clap::{Parser, Subcommand};
use signclip_common::panics::program;
use signclip_common::{command_line, commit, environment, memory};
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  evaluate --run runs/phoenix --split test
  evaluate --run runs/phoenix --split dev --features cache/phoenix
  evaluate report runs/phoenix --sheets sheets
  evaluate compare runs/a/seed-* --with runs/b/seed-*
  evaluate beside spatial=runs/spatial both=runs/both --clips clip-1,clip-7
  evaluate export runs/phoenix --out flan-t5-phoenix
  evaluate export-scores runs/phoenix --out scores
  evaluate rating-sheet a=runs/a b=runs/b --sheets sheets --out rating.html
  evaluate verdicts --noisy runs/noisy/study.json
  evaluate score hypotheses.txt references.txt --json

With --run: writes <run>/<split>/predictions.jsonl, with the scores of each sentence, and
metrics.json. The weights are those with the best BLEU-4 (of equal ones, chrF) on the run's
validation split (dev); the split that is scored plays no part in choosing them, or the output says so.

Exit codes: 0 done; 2 could not run.";

/// Translate a split with a trained run and score it
#[derive(Debug, Parser)]
#[command(name = "evaluate", version, after_help = EXAMPLES)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Option<run::Args>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Beside(beside::Args),
    Compare(compare::Args),
    Export(export::Args),
    ExportScores(export_scores::Args),
    RatingSheet(rating_sheet::Args),
    Report(report::Args),
    Score(score::Args),
    Verdicts(verdicts::Args),
}

fn main() -> ExitCode {
    let (args, _) = command_line::read::<Args>(commit!(), &[]);
    environment::for_gpus();
    environment::huge_pages();
    memory::start();
    program(|| {
        let done = match (&args.command, &args.run) {
            (Some(Command::Beside(args)), _) => beside::run(args),
            (Some(Command::Compare(args)), _) => compare::run(args),
            (Some(Command::Export(args)), _) => export::run(args),
            (Some(Command::ExportScores(args)), _) => export_scores::run(args),
            (Some(Command::RatingSheet(args)), _) => rating_sheet::run(args),
            (Some(Command::Report(args)), _) => report::run(args),
            (Some(Command::Score(args)), _) => score::run(args),
            (Some(Command::Verdicts(args)), _) => verdicts::run(args),
            (None, Some(args)) => run::run(args),
            // Without a subcommand --run is required.
            (None, None) => Ok(()),
        };
        done.map(|()| ExitCode::SUCCESS).map_err(|e| vec![e])
    })
}
