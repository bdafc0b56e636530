//! `evaluate score`: any two text files.

use serde::Serialize;
use signclip_common::regular_file::{self, LINES};
use signclip_common::{Error, Result};
use signclip_train::metrics::Scores;
use signclip_train::metrics::final_dot::FinalDot;
use signclip_train::metrics::sentence::{EachScore, SentenceCounts};
use signclip_train::metrics::units::Units;
use std::path::{Path, PathBuf};

/// Score text files against reference files, one sentence a line
///
/// The texts are scored as they stand: nothing is put into lower case, no full stop is added or removed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Hypotheses and references, UTF-8, of equally many lines; more pairs of files may follow
    #[arg(value_name = "HYP REF", required = true)]
    files: Vec<PathBuf>,
    /// What texts are counted in: words (13a), or characters for scripts without spaces (zh, char)
    #[arg(long, value_name = "UNITS", default_value = "13a")]
    tokenise: Units,
    /// Print the scores, and those of each sentence, as JSON: one object, or one a line for several pairs
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let pairs = args.files.chunks_exact(2);
    if let [alone] = pairs.remainder() {
        let what = format!("{} has no file of references", alone.display());
        return Err(Error::usage(what, "give files in pairs: evaluate score HYP REF"));
    }
    // All are scored before anything is printed, so that a bad file among them costs no half result.
    let scored =
        pairs.map(|pair| Scored::of(&pair[0], &pair[1], args.tokenise)).collect::<Result<Vec<_>>>()?;
    for one in &scored {
        if !args.json {
            println!("{} against {}:\n{}", one.hypotheses, one.references, one.scores.table());
        } else if scored.len() == 1 {
            println!("{:#}", serde_json::json!(one));
        } else {
            println!("{}", serde_json::json!(one));
        }
    }
    Ok(())
}

/// What is printed of a pair of files.
#[derive(Serialize)]
struct Scored {
    hypotheses: String,
    references: String,
    scores: Scores,
    /// 0 to 100.
    sentences: Vec<EachScore>,
}

impl Scored {
    fn of(hypotheses: &Path, references: &Path, units: Units) -> Result<Self> {
        let (hyp, reference) = (Lines::read(hypotheses)?, Lines::read(references)?);
        let (hyp, reference) = (hyp.sentences()?, reference.sentences()?);
        if hyp.len() != reference.len() {
            let what = format!("{} lines where {} has {}", hyp.len(), references.display(), reference.len());
            let remedy = "give one hypothesis for each reference, an empty line where there is none";
            return Err(Error::input(hypotheses, "", what, remedy));
        }
        let counts = SentenceCounts::of_corpus(&hyp, &reference, units);
        Ok(Self {
            hypotheses: hypotheses.display().to_string(),
            references: references.display().to_string(),
            scores: Scores::of_sentences(&counts, FinalDot::AsGiven),
            sentences: counts.iter().map(SentenceCounts::scores).collect(),
        })
    }
}

/// The content of a file.
struct Lines<'a> {
    file: &'a Path,
    bytes: Vec<u8>,
}

impl<'a> Lines<'a> {
    fn read(file: &'a Path) -> Result<Self> {
        Ok(Self { file, bytes: regular_file::read(file, LINES).map_err(Error::io(file))? })
    }

    /// One sentence a line, without line ends (of Unix or Windows) and without a byte order mark. Errors: no line,
    /// a line that is not UTF-8.
    fn sentences(&self) -> Result<Vec<&str>> {
        let bytes = self.bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.bytes);
        if bytes.is_empty() {
            return Err(Error::input(self.file, "", "the file is empty", "give one sentence a line"));
        }
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        (1..)
            .zip(bytes.split(|&byte| byte == b'\n'))
            .map(|(line, bytes)| {
                std::str::from_utf8(bytes.strip_suffix(b"\r").unwrap_or(bytes)).map_err(|_| {
                    let place = format!("line {line}");
                    Error::input(self.file, place, "not UTF-8", "save the file as UTF-8 text")
                })
            })
            .collect()
    }
}
