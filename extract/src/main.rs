//! `extract`: see `cli/args.rs` for the command line.

#![allow(clippy::print_stderr)]

use clap::parser::ValueSource;
use signclip_common::panics::program;
use signclip_common::{command_line, commit, environment, memory};
use signclip_extract::cli::args::{Cli, Command};
use signclip_extract::cli::like::{Like, refuse_recipe_flags};
use signclip_extract::cli::unused::unused_flags;
use signclip_extract::cli::{convert, doctor, dry_run, extract, fetch, import, libraries, status, verify};
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let (cli, matches) = command_line::read::<Cli>(commit!(), &libraries::versions());
    environment::for_gpus();
    environment::huge_pages();
    memory::start();
    program(|| match cli.command {
        Some(Command::Doctor { weights, json }) => doctor::report(weights.as_deref(), json),
        Some(Command::Convert { input, output, json }) => {
            convert::run(&input, output.as_deref(), json).map_err(|e| vec![e])
        }
        Some(Command::Fetch(args)) => fetch::run(&args).map_err(|e| vec![e]),
        Some(Command::Import(args)) => import::run(&args).map_err(|e| vec![e]),
        Some(Command::Status(args)) => status::report(&args),
        None => {
            let args = &cli.run;
            let given = |flag: &str| matches.value_source(flag) == Some(ValueSource::CommandLine);
            let read = |store: &PathBuf| refuse_recipe_flags(given).and_then(|()| Like::read(store));
            let like = args.like.as_ref().map(read).transpose().map_err(|e| vec![e])?;
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
