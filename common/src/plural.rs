//! Counts of things in messages.

/// "1 clip", "2 clips": for nouns whose plural ends in s.
pub fn plural(n: usize, thing: &str) -> String {
    format!("{n} {thing}{}", if n == 1 { "" } else { "s" })
}
