//! `extract`: see `cli/args.rs` for the command line.

#![allow(clippy::print_stderr)]

use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches};
use signclip_common::panics::program;
use signclip_common::{environment, memory};
use signclip_extract::cli::args::{Cli, Command};
use signclip_extract::cli::like::Like;
use signclip_extract::cli::unused::unused_flags;
use signclip_extract::cli::{convert, doctor, dry_run, extract, import, status, verify};
use std::process::ExitCode;

fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|e| e.exit());
    environment::for_gpus();
    environment::huge_pages();
    memory::start();
    program(|| match cli.command {
        Some(Command::Doctor { weights, json }) => doctor::report(weights.as_deref(), json),
        Some(Command::Convert { input, output, json }) => {
            convert::run(&input, output.as_deref(), json).map_err(|e| vec![e])
        }
        Some(Command::Import(args)) => import::run(&args).map_err(|e| vec![e]),
        Some(Command::Status(args)) => status::report(&args),
        None => {
            let args = &cli.run;
            let like = args.like.as_deref().map(Like::read).transpose().map_err(|e| vec![e])?;
            let given = |flag: &str| matches.value_source(flag) == Some(ValueSource::CommandLine);
            // Before there is any log.
            let unused = unused_flags(args, like.as_ref().map(|like| &like.recipe), given);
            unused.iter().for_each(|unused| eprintln!(" WARN {unused}"));
            match (args.verify, args.dry_run) {
                (true, _) => verify::run(args).map_err(|e| vec![e]),
                (false, true) => dry_run::run(args, like.as_ref()),
                (false, false) => extract::run(args, like.as_ref()),
            }
        }
    })
}
