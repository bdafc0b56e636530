//! The `13a` tokeniser of mteval-v13a.pl in the form sacreBLEU gives it, and the white space of Python's `str`.
//!
//! Reference: sacrebleu 2.2.0 to 2.6.0, `tokenizers/tokenizer_{13a,re}.py`. No deviations.

/// White space as Python's `str.split()` and `str.rstrip()` see it: Unicode's, and the four ASCII separators.
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

/// Python's `str.strip()`.
pub fn trim(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// Python's `str.rstrip()`.
pub fn trim_end(text: &str) -> &str {
    text.trim_end_matches(is_space)
}

/// Python's `str.split()`.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

/// One segment in tokens, joined by single spaces.
pub fn tokenize_13a(segment: &str) -> String {
    let mut text = segment.replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    if text.contains('&') {
        // One after the other: `&amp;lt;` becomes `<`, as in the reference.
        text = text.replace("&quot;", "\"").replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">");
    }
    split_marks(&format!(" {text} "))
}

/// Words and marks, joined by single spaces: sacreBLEU's `tokenizer_re.py`. A mark needs a neighbour on the side that the
/// rule looks at, so it stays at the beginning or the end of a text without spaces there.
pub fn split_marks(text: &str) -> String {
    let text = split_symbols(text);
    let is_mark = |c: char| c == '.' || c == ',';
    let is_digit = |c: char| c.is_ascii_digit();
    // Full stop and comma, unless a digit stands before ...
    let text = rewrite_pairs(&text, |a, b| !is_digit(a) && is_mark(b), |a, b| [a, ' ', b, ' ']);
    // ... or after them.
    let text = rewrite_pairs(&text, |a, b| is_mark(a) && !is_digit(b), |a, b| [' ', a, ' ', b]);
    // A hyphen after a digit.
    let text = rewrite_pairs(&text, |a, b| is_digit(a) && b == '-', |a, b| [a, ' ', b, ' ']);
    words(&text).collect::<Vec<_>>().join(" ")
}

/// Spaces around every ASCII symbol except `'`, `,`, `-` and `.`.
fn split_symbols(text: &str) -> String {
    let mut out = String::with_capacity(2 * text.len());
    for c in text.chars() {
        if c.is_ascii_punctuation() && !matches!(c, '\'' | ',' | '-' | '.') {
            out.extend([' ', c, ' ']);
        } else {
            out.push(c);
        }
    }
    out
}

/// One left-to-right pass that replaces neighbouring characters where `matches`; the second character of a match
/// is consumed, as in a substitution by regular expression.
fn rewrite_pairs(
    text: &str,
    matches: impl Fn(char, char) -> bool,
    replacement: impl Fn(char, char) -> [char; 4],
) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut chars = text.chars().peekable();
    while let Some(a) = chars.next() {
        match chars.next_if(|&b| matches(a, b)) {
            Some(b) => out.extend(replacement(a, b)),
            None => out.push(a),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values printed by sacrebleu 2.2.0.
    #[test]
    fn known_sentences() {
        for (raw, tokens) in [
            (
                "Hello, world! It's 3.5% (approx.) — e.g. 10-12 &amp; \"x\".",
                "Hello , world ! It's 3.5 % ( approx . ) — e . g . 10 - 12 & \" x \" .",
            ),
            ("am 3. mai, 12,5 grad-c/d a-b don't.", "am 3 . mai , 12,5 grad-c / d a-b don't ."),
            ("süd-westen: 20 bis 25 grad.", "süd-westen : 20 bis 25 grad ."),
            ("", ""),
            ("...", ". . ."),
            ("well-\nknown <skipped>text", "wellknown text"),
        ] {
            assert_eq!(tokenize_13a(raw), tokens);
        }
    }

    #[test]
    fn white_space_is_that_of_python() {
        assert_eq!(words("a\u{1c}b\u{a0}c\u{200b}d\n").collect::<Vec<_>>(), ["a", "b", "c\u{200b}d"]);
        assert_eq!(trim_end("a \u{1f}\u{85}"), "a");
    }
}
