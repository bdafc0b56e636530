//! Ids of texts; what `just check-sentencepiece` compares.
//!
//! ```text
//! tokens FILE     a tokenizer.json or spiece.model; a JSON string a line comes in, a JSON list of ids goes out
//! ```

#![allow(clippy::print_stdout)]

use signclip_common::{Error, Result};
use signclip_train::language::text::Text;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let file = std::env::args_os().nth(1).unwrap_or_default();
    match run(Path::new(&file)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::from(2)
        }
    }
}

fn run(file: &Path) -> Result<()> {
    let text = Text::load(file)?;
    for line in std::io::stdin().lines() {
        let line = line.map_err(Error::io("standard input"))?;
        let sentence: String = serde_json::from_str(&line)
            .map_err(|e| Error::usage(e.to_string(), "give a JSON string on each line"))?;
        println!("{:?}", text.encode(&sentence)?);
    }
    Ok(())
}
