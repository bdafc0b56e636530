//! The `zh` tokeniser of sacreBLEU: every Chinese character is a token, the rest is cut as by `13a`.
//!
//! Reference: sacrebleu 2.2.0 to 2.6.0, `tokenizers/tokenizer_zh.py`. No deviations.

use super::tokenizer_13a::{split_marks, trim};

/// First and last characters of what counts as Chinese. The first range is odd: the reference writes two ranges beyond 16 bits
/// with four hexadecimal digits and one more, which is a text of two characters, and Python's order of texts puts these single
/// characters between.
const RANGES: [(char, char); 13] = [
    ('\u{2001}', '\u{2a6d}'),
    ('\u{2e80}', '\u{2fdf}'),
    ('\u{2ff0}', '\u{303f}'),
    ('\u{3100}', '\u{312f}'),
    ('\u{31a0}', '\u{31ef}'),
    ('\u{3200}', '\u{4db5}'),
    ('\u{4e00}', '\u{9fbb}'),
    ('\u{f900}', '\u{fa2d}'),
    ('\u{fa30}', '\u{fa6a}'),
    ('\u{fa70}', '\u{fad9}'),
    ('\u{fe10}', '\u{fe1f}'),
    ('\u{fe30}', '\u{fe4f}'),
    ('\u{ff00}', '\u{ffef}'),
];

fn is_chinese(c: char) -> bool {
    RANGES.iter().any(|&(first, last)| (first..=last).contains(&c))
}

/// One segment in tokens, joined by single spaces.
pub fn tokenize_zh(segment: &str) -> String {
    let mut apart = String::with_capacity(2 * segment.len());
    for c in trim(segment).chars() {
        match is_chinese(c) {
            true => apart.extend([' ', c, ' ']),
            false => apart.push(c),
        }
    }
    split_marks(&apart)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values printed by sacrebleu 2.6.0.
    #[test]
    fn known_sentences() {
        for (raw, tokens) in KNOWN {
            assert_eq!(tokenize_zh(raw), tokens, "{raw}");
        }
    }

    const KNOWN: [(&str, &str); 7] = [
        ("今天天气很好。", "今 天 天 气 很 好 。"),
        ("我爱 PyTorch，2024年3.5%!", "我 爱 PyTorch ， 2024 年 3.5 % !"),
        ("今天, 12,5 度 -- a-b 3-4。", "今 天 , 12,5 度 -- a-b 3 - 4 。"),
        ("“你好”…他说", "“ 你 好 ” … 他 说"),
        ("。好.", "。 好 ."),
        ("3.", "3."),
        (" 他 , ", "他 ,"),
    ];
}
