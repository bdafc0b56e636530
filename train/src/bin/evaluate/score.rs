//! `evaluate score`: any two text files.

use signclip_common::{Error, Result};
use signclip_train::metrics::Scores;
use signclip_train::metrics::final_dot::FinalDot;
use signclip_train::metrics::sentence::SentenceCounts;
use std::path::{Path, PathBuf};

/// Score text files against reference files, one sentence a line
///
/// The texts are scored as they stand: nothing is put into lower case, no full stop is added or removed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Hypotheses and references, UTF-8, of equally many lines; more pairs of files may follow
    #[arg(value_name = "HYP REF", required = true)]
    files: Vec<PathBuf>,
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
    let several = pairs.len() > 1;
    for pair in pairs {
        let (hypotheses, references) = (Lines::read(&pair[0])?, Lines::read(&pair[1])?);
        let (hypotheses, references) = (hypotheses.sentences()?, references.sentences()?);
        if hypotheses.len() != references.len() {
            return Err(Error::input(
                &pair[0],
                "",
                format!("{} lines where {} has {}", hypotheses.len(), pair[1].display(), references.len()),
                "give one hypothesis for each reference, an empty line where there is none",
            ));
        }
        let sentences = SentenceCounts::of_corpus(&hypotheses, &references);
        let scores = Scores::of_sentences(&sentences, FinalDot::AsGiven);
        if args.json {
            let single: Vec<_> = sentences.iter().map(SentenceCounts::scores).collect();
            let json = serde_json::json!({
                "hypotheses": pair[0].to_string_lossy(),
                "references": pair[1].to_string_lossy(),
                "scores": scores,
                "sentences": single,
            });
            println!("{}", if several { json.to_string() } else { format!("{json:#}") });
        } else {
            println!("{} against {}:\n{}", pair[0].display(), pair[1].display(), scores.table());
        }
    }
    Ok(())
}

/// The content of a file.
struct Lines<'a> {
    file: &'a Path,
    bytes: Vec<u8>,
}

impl<'a> Lines<'a> {
    fn read(file: &'a Path) -> Result<Self> {
        Ok(Self { file, bytes: std::fs::read(file).map_err(Error::io(file))? })
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
