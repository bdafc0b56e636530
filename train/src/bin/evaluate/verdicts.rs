//! `evaluate verdicts`: the statements of the study, judged by its tables.

use signclip_common::{Error, Result};
use signclip_train::metrics::ablation::Ablation;
use signclip_train::metrics::verdicts::{Tables, markdown, verdicts};
use std::path::PathBuf;

/// Judge the study's statements, which are fixed before it is run: confirmed, refuted or undecided, with numbers
///
/// A table is the JSON that ablate writes. Statements about a table that is not given are undecided.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Table of the corpus of level clean, with a pretrained language model
    #[arg(long, value_name = "FILE")]
    clean: Option<PathBuf>,
    /// The same of level noisy
    #[arg(long, value_name = "FILE")]
    noisy: Option<PathBuf>,
    /// The same of level lagged
    #[arg(long, value_name = "FILE")]
    lagged: Option<PathBuf>,
    /// Table of level noisy with a language model that starts from random numbers
    #[arg(long, value_name = "FILE")]
    random: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let read = |file: &Option<PathBuf>| file.as_deref().map(Ablation::read).transpose();
    let Args { clean, noisy, lagged, random } = args;
    if [clean, noisy, lagged, random].iter().all(|file| file.is_none()) {
        return Err(Error::usage(
            "no table is given",
            "give at least one, as in: evaluate verdicts --noisy FILE",
        ));
    }
    let tables =
        Tables { clean: read(clean)?, noisy: read(noisy)?, lagged: read(lagged)?, random: read(random)? };
    tables.check()?;
    print!("{}", markdown(&verdicts(&tables)));
    Ok(())
}
