//! `evaluate rating-sheet`: a page for people who judge translations.

use super::report::replaceable;
use signclip_common::Result;
use signclip_train::data::split::check_split;
use signclip_train::metrics::beside::Named;
use signclip_train::report::rating;
use std::path::PathBuf;

/// Write a page on which people rate the translations of several runs and the reference, without names and in random order
///
/// The names are in FILE.key.json. The page needs no network and nothing beside it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Runs that were evaluated, each under a name for the key: spatial=runs/spatial both=runs/both
    #[arg(value_name = "NAME=RUN", required = true)]
    runs: Vec<Named>,
    /// Folder of contact sheets that extract --preview wrote
    #[arg(long, value_name = "DIR")]
    sheets: PathBuf,
    /// How many clips, drawn at random
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    sentences: u16,
    /// Which clips, and the order of the translations, follow from this number
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Split of the clips
    #[arg(long, value_name = "NAME", default_value = "test")]
    split: String,
    /// What to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    check_split("--split", &args.split)?;
    replaceable(&args.out)?;
    let mut key = args.out.as_os_str().to_owned();
    key.push(".key.json");
    let key = PathBuf::from(key);
    let Args { runs, sheets, sentences, seed, split, out } = args;
    rating::write(runs, split, sheets, (*sentences).into(), *seed, [out, &key])?;
    println!("sheet: {}", out.display());
    println!("key:   {}", key.display());
    Ok(())
}
