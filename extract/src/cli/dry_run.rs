//! `extract --dry-run`: the plan, and whether everything is there.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use crate::cli::args::RunArgs;
use crate::cli::calibrate::{Calibration, calibrate};
use crate::cli::job::{self, Job, Problems};
use crate::cli::like::Like;
use crate::cli::summary::print_json;
use crate::cli::unused::unused_without_videos;
use crate::run::plan::Summary;
use crate::run::rank::Rank;
use serde::Serialize;
use signclip_common::progress::start_log;
use signclip_common::{Error, Result};
use std::process::ExitCode;
use tch::Device;

/// What is printed.
#[derive(Serialize)]
struct DryRun {
    #[serde(flatten)]
    plan: Summary,
    /// Weights and settings with which a run could not begin.
    not_ready: Vec<String>,
    /// How long it takes here, where that was asked for.
    calibration: Option<Calibration>,
}

/// Prints what a run would do, and changes nothing.
pub fn run(args: &RunArgs, like: Option<&Like>) -> Result<ExitCode, Problems> {
    let plan = job::plan(args, like).map_err(|e| vec![e])?;
    unused_without_videos(args, &plan).iter().for_each(|unused| eprintln!(" WARN {unused}"));
    Rank::find(args.shard.as_deref()).map_err(|e| vec![e])?;
    // Whatever device it will be: what is asked here is whether everything is there.
    let recipe = job::recipe(args, like, plan.dataset.spatial_squash, Device::Cpu);
    let summary = plan.summary(recipe.as_ref().ok().map(|(recipe, _)| recipe));
    let (mut not_ready, mut calibration) = (Vec::new(), None);
    let dataset = plan.dataset.name.clone();
    if args.calibrate {
        start_log(None).map_err(|e| vec![e])?;
        calibration =
            Some(calibrate(&Job::resolve(args, like, Ok(plan))?, &args.inputs).map_err(|e| vec![e])?);
    } else {
        let found = recipe.and_then(|(recipe, wanted)| job::sources(args, &recipe, &wanted));
        not_ready = found.err().unwrap_or_default().iter().map(Error::to_string).collect();
    }
    let shown = DryRun { plan: summary, not_ready, calibration };
    if args.json {
        print_json(&shown).map_err(|e| vec![e])?;
    } else {
        print!("{}", shown.table());
        println!(
            "\nNothing was done. The same command without --dry-run writes {}.",
            args.out_of(&dataset).display()
        );
    }
    Ok(ExitCode::SUCCESS)
}

impl DryRun {
    /// For people.
    fn table(&self) -> String {
        let mut table = self.plan.table();
        if let Some(calibration) = &self.calibration {
            table += &format!("\n{}", calibration.text());
        }
        for problem in &self.not_ready {
            table += &format!("\nnot ready: {problem}\n");
        }
        table
    }
}
