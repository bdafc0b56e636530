//! What the texts of a language are counted in: words, or characters where the script has no spaces between words.

use super::tokenizer_13a::words;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Named after sacreBLEU's tokenisers, which cut for BLEU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub enum Units {
    /// Words: sacreBLEU's default
    #[default]
    #[serde(rename = "13a")]
    #[value(name = "13a")]
    Words,
    /// Chinese characters one by one, other text in words
    #[serde(rename = "zh")]
    #[value(name = "zh")]
    Chinese,
    /// Every character
    #[serde(rename = "char")]
    #[value(name = "char")]
    Characters,
}

/// Languages beside Chinese that are written without spaces between words.
const UNSPACED: [&str; 6] = ["japanese", "thai", "lao", "khmer", "burmese", "tibetan"];

impl Units {
    /// Those of a data set's language, by its English name.
    pub fn of(language: Option<&str>) -> Self {
        let language = language.unwrap_or_default().to_lowercase();
        if language.contains("chinese") || language == "mandarin" {
            Self::Chinese
        } else if UNSPACED.contains(&language.as_str()) {
            Self::Characters
        } else {
            Self::Words
        }
    }
}

/// The characters of a text without its white space, with spaces between them.
pub(super) fn spaced(text: &str) -> String {
    let characters: Vec<String> = words(text).flat_map(str::chars).map(String::from).collect();
    characters.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_decides() {
        let of = |language| Units::of(Some(language));
        assert_eq!([of("Chinese"), of("Simplified Chinese"), of("Mandarin")], [Units::Chinese; 3]);
        assert_eq!(
            (of("Japanese"), of("German"), Units::of(None)),
            (Units::Characters, Units::Words, Units::Words)
        );
        assert_eq!(spaced(" 今天 ab\u{3000}c"), "今 天 a b c");
    }
}
