//! What a Hugging Face folder of a language model must hold.

use signclip_common::{Error, Result, tensor_file};
use std::path::{Path, PathBuf};

const CONFIG: &str = "config.json";
/// The tokenizer, in either format; the first one that is there counts.
const TOKENIZERS: [&str; 2] = [TOKENIZER, "spiece.model"];
const TOKENIZER: &str = "tokenizer.json";
/// A SentencePiece model of a kind that is not read.
const OTHER_SENTENCEPIECE: &str = "tokenizer.model";

/// Whether `folder` has any part of a language model.
pub fn is_model(folder: &Path) -> bool {
    let file = |name: &str| folder.join(name).exists();
    file(CONFIG) || TOKENIZERS.into_iter().any(file) || tensor_file::has_model(folder)
}

/// Look for everything that a language model needs. Errors: what is not there, all in one line.
pub fn check_files(folder: &Path) -> Result<()> {
    let needed = [CONFIG, tokenizer_name(folder)];
    let mut missing: Vec<&str> = needed.into_iter().filter(|name| !folder.join(name).exists()).collect();
    if !tensor_file::has_model(folder) {
        missing.push("model.safetensors");
    }
    let remedy = match missing.as_slice() {
        [] => return Ok(()),
        [TOKENIZER] => tokenizer_remedy(folder),
        _ => "download them into the folder (docs/weights.md)".to_owned(),
    };
    let remedy = if missing.len() == 1 { remedy.replace("download them", "download it") } else { remedy };
    Err(Error::input(folder, "", format!("no {} here", missing.join(", no ")), remedy))
}

/// The tokenizer of `folder`: `tokenizer.json`, or `spiece.model` where that alone is there.
pub fn tokenizer(folder: &Path) -> PathBuf {
    folder.join(tokenizer_name(folder))
}

/// Name of its file.
pub fn tokenizer_name(folder: &Path) -> &'static str {
    TOKENIZERS.into_iter().find(|name| folder.join(name).exists()).unwrap_or(TOKENIZER)
}

/// What to do where `folder` has no tokenizer.
pub fn tokenizer_remedy(folder: &Path) -> String {
    if !folder.join(OTHER_SENTENCEPIECE).is_file() {
        return format!("download {TOKENIZER} of the language model into the folder");
    }
    let folder = folder.display();
    format!(
        "{OTHER_SENTENCEPIECE} has the same vocabulary; make the file of it: pip install transformers sentencepiece protobuf, \
         then python3 -c \"from transformers import AutoTokenizer; \
         AutoTokenizer.from_pretrained('{folder}').save_pretrained('{folder}')\""
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_missing_is_named_at_once() -> Result<()> {
        let folder = tempfile::tempdir().map_err(Error::io("a temporary folder"))?;
        let place = folder.path();
        let write = |name: &str| std::fs::write(place.join(name), "{}").map_err(Error::io(name));
        let message = || check_files(place).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(!is_model(place));
        write("config.json")?;
        assert!(is_model(place));
        let all = message();
        assert!(all.contains("no tokenizer.json, no model.safetensors here; download them"), "{all}");
        write("pytorch_model.bin")?;
        let one = message();
        assert!(one.contains("no tokenizer.json here") && !one.contains("model.safetensors"), "{one}");
        write("tokenizer.model")?;
        let made = message();
        assert!(made.contains("python3 -c") && made.contains(&place.display().to_string()), "{made}");
        write("spiece.model")?;
        check_files(place)?;
        assert_eq!(tokenizer(place), place.join("spiece.model"));
        write("tokenizer.json")?;
        assert_eq!(tokenizer(place), place.join("tokenizer.json"));
        check_files(place)
    }
}
