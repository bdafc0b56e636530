//! `evaluate beside`: translations of several runs beside each other.

use signclip_common::Result;
use signclip_train::data::split::check_split;
use signclip_train::metrics::beside::{Named, markdown, translations};

/// Print chosen clips with the translations of several runs, in Markdown, as in the paper's Table 4
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Runs that were evaluated, each under a name: spatial=runs/spatial mouthing=runs/mouthing both=runs/both
    #[arg(value_name = "NAME=RUN", required = true)]
    runs: Vec<Named>,
    /// Clips to print
    #[arg(long, value_name = "ID,...", value_delimiter = ',', required = true, allow_hyphen_values = true)]
    clips: Vec<String>,
    /// Split of the clips
    #[arg(long, value_name = "NAME", default_value = "test")]
    split: String,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    check_split("--split", &args.split)?;
    print!("{}", markdown(&translations(&args.runs, &args.split, &args.clips)?));
    Ok(())
}
