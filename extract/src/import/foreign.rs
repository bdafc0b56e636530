//! A stream that others made.

use super::pattern::Pattern;
use signclip_common::store::{MOTION, RowRule, StoreInfo, StreamInfo};
use std::collections::BTreeMap;

/// Where the files of a stream are, and which frames their rows are of.
#[derive(Debug, Clone, PartialEq)]
pub struct Foreign {
    pub name: String,
    pub pattern: Pattern,
    pub rows: RowRule,
}

impl Foreign {
    /// `NAME=PATTERN`, or `NAME:WINDOW/STRIDE=PATTERN` for rows of windows of frames. Without it the motion stream has
    /// SpaMo's windows, and every other stream a row for each frame.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wanted = "give NAME=PATTERN, as in spatial={split}/{id}_s2wrapping.npy";
        let (stream, pattern) = text.split_once('=').ok_or(wanted)?;
        let (name, rows) = match stream.split_once(':') {
            Some((name, rows)) => (name, windows(rows)?),
            None if stream == MOTION => (stream, RowRule { window: 16, stride: 8 }),
            None => (stream, RowRule::EACH_FRAME),
        };
        if !StoreInfo::is_stream_name(name) {
            return Err(format!("{name:?} cannot be a stream: its name has letters, digits and _ alone"));
        }
        Ok(Self { name: name.to_owned(), pattern: Pattern::parse(pattern)?, rows })
    }

    /// What the store says of it.
    pub fn describe(&self, dim: usize) -> StreamInfo {
        StreamInfo {
            dim,
            rows: self.rows,
            encoder: "imported".to_owned(),
            compute: "unknown".to_owned(),
            weights: BTreeMap::new(),
            config: serde_json::json!({ "imported": self.pattern.as_str() }),
        }
    }
}

/// `16/8`: windows of 16 frames, one every 8.
fn windows(text: &str) -> Result<RowRule, String> {
    let numbers =
        text.split_once('/').and_then(|(window, stride)| Some((window.parse().ok()?, stride.parse().ok()?)));
    match numbers {
        Some((window, stride)) if (1..=1 << 20).contains(&window) && (1..=window).contains(&stride) => {
            Ok(RowRule { window, stride })
        }
        _ => Err(format!("{text:?}: give WINDOW/STRIDE in frames, as in motion:16/8=PATTERN")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_as_they_are_typed() {
        let rows =
            |text: &str| Foreign::parse(text).map(|foreign| (foreign.rows.window, foreign.rows.stride));
        assert_eq!(rows("spatial={id}.npy"), Ok((1, 1)));
        assert_eq!(rows("motion={id}.npy"), Ok((16, 8)));
        assert_eq!(rows("motion:16/4={id}.npy"), Ok((16, 4)));
        for (text, part) in [
            ("{id}.npy", "give NAME=PATTERN"),
            ("a-b={id}.npy", "cannot be a stream"),
            ("motion:8={id}.npy", "WINDOW/STRIDE"),
            ("motion:8/9={id}.npy", "WINDOW/STRIDE"),
            ("motion:0/0={id}.npy", "WINDOW/STRIDE"),
            ("motion=a.npy", "no {id}"),
        ] {
            assert!(rows(text).is_err_and(|e| e.contains(part)), "{text}");
        }
    }
}
