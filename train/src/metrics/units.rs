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

/// Names of Chinese that do not have it in them, and its codes.
const CHINESE: [&str; 6] = ["mandarin", "cantonese", "中文", "zh", "yue", "cmn"];
/// Languages beside Chinese that are written without spaces between words, and their codes.
const UNSPACED: [&str; 13] =
    ["japanese", "日本語", "thai", "lao", "khmer", "burmese", "tibetan", "ja", "th", "lo", "km", "my", "bo"];

impl Units {
    /// Those of a data set's language, by its English name or its code, which a region may follow (`zh-TW`).
    pub fn of(language: Option<&str>) -> Self {
        let language = language.unwrap_or_default().to_lowercase();
        let name = language.split(['-', '_']).next().unwrap_or_default();
        if language.contains("chinese") || CHINESE.contains(&name) {
            Self::Chinese
        } else if UNSPACED.contains(&name) {
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
        assert_eq!([of("zh"), of("zh-TW"), of("中文"), of("Cantonese")], [Units::Chinese; 4]);
        assert_eq!([of("Japanese"), of("ja_JP"), of("th")], [Units::Characters; 3]);
        assert_eq!([of("German"), of("Thailand"), of("de"), Units::of(None)], [Units::Words; 4]);
        assert_eq!(spaced(" 今天 ab\u{3000}c"), "今 天 a b c");
    }
}
