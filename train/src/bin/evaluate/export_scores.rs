//! `evaluate export-scores`: translations in the layout that BLEURT and COMET read.

use signclip_common::{Error, Result, atomic};
use signclip_train::data::split::check_split;
use signclip_train::metrics::predictions::{Line, Predictions};
use std::path::PathBuf;

/// Write the translations of a run as sources, hypotheses and references, one a line, for scorers such as BLEURT and COMET
///
/// Writes DIR/src.txt, hyp.txt and ref.txt. A sign-language video has no source text: src.txt has the ids of the clips, to
/// be used where a scorer insists on a file and ignored by those that go by the reference alone (BLEURT, chrF).
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of a run that was evaluated, or a predictions.jsonl
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Folder to write to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Split, where RUN is a run's folder
    #[arg(long, value_name = "NAME", default_value = "test")]
    split: String,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    check_split("--split", &args.split)?;
    let predictions = Predictions::read(&args.run, &args.split)?;
    predictions.references()?;
    std::fs::create_dir_all(&args.out).map_err(Error::io(&args.out))?;
    for (name, text) in [
        ("src.txt", (|line: &Line| &line.id) as fn(&Line) -> &String),
        ("hyp.txt", |line| &line.hypothesis),
        ("ref.txt", |line| &line.reference),
    ] {
        // A text with a line end would move all lines after it.
        let one_line = |line| text(line).split_whitespace().collect::<Vec<_>>().join(" ") + "\n";
        let lines: String = predictions.lines.iter().map(one_line).collect();
        atomic::write(&args.out.join(name), lines.as_bytes())?;
    }
    let shown = args.out.display();
    println!("{} sentences: {shown}/src.txt, {shown}/hyp.txt, {shown}/ref.txt", predictions.lines.len());
    println!("src.txt has ids, not sentences: a COMET model that reads its source scores these, too");
    println!("next: comet-score -s {shown}/src.txt -t {shown}/hyp.txt -r {shown}/ref.txt");
    println!(
        "      python -m bleurt.score_files -candidate_file={shown}/hyp.txt -reference_file={shown}/ref.txt"
    );
    Ok(())
}
