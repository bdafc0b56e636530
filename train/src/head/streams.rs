//! The feature streams that a head takes, by name.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use signclip_common::store::{MOUTHING, SPATIAL};
use std::collections::BTreeMap;
use tch::Tensor;

/// Names of the streams in use (paper, ablation: SE, LE, SE + LE). Read from a list, from names with commas between them, or
/// from `both`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Vec<String>")]
pub struct Streams(Vec<String>);

/// Stands for [`Streams::both`], alone.
const BOTH: &str = "both";

impl Streams {
    /// The paper's two.
    pub fn both() -> Self {
        Self([SPATIAL, MOUTHING].map(str::to_owned).into())
    }

    /// Streams by their names.
    pub fn of(names: &[&str]) -> Self {
        Self(names.iter().map(|&name| name.to_owned()).collect())
    }

    /// One stream alone.
    pub fn only(name: &str) -> Self {
        Self(vec![name.to_owned()])
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    pub fn has(&self, name: &str) -> bool {
        self.names().any(|other| other == name)
    }

    /// Whether there is a single one.
    pub fn is_one(&self) -> bool {
        self.0.len() == 1
    }
}

impl TryFrom<Value> for Streams {
    type Error = String;

    fn try_from(written: Value) -> Result<Self, String> {
        let refuse = |why: &str| Err(format!("head.streams is {written}: {why}"));
        let of_list = |names: &[Value]| {
            names.iter().map(|name| name.as_str().map(str::to_owned)).collect::<Option<Vec<String>>>()
        };
        let mut names = match &written {
            Value::String(both) if both == BOTH => return Ok(Self::both()),
            Value::String(names) => names.split(',').map(|name| name.trim().to_owned()).collect(),
            Value::Array(names) => of_list(names).unwrap_or_default(),
            _ => Vec::new(),
        };
        let plain =
            |name: &String| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if names.is_empty() || !names.iter().all(plain) {
            return refuse("give names of streams, as in spatial,mouthing");
        }
        if names.iter().any(|name| name == BOTH) {
            return refuse(
                "\"both\" is not the name of a stream; give names of streams, as in spatial,mouthing",
            );
        }
        // The paper's order, whatever the order in which they are written.
        names.sort_by_key(|name| (name != SPATIAL, name != MOUTHING, name.clone()));
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(format!("head.streams: the stream {} is named twice", pair[0])),
            None => Ok(Self(names)),
        }
    }
}

impl From<Streams> for Vec<String> {
    fn from(streams: Streams) -> Self {
        streams.0
    }
}

/// One stream of a batch.
pub struct StreamBatch {
    /// `[b, rows, dim]`, zero at padding.
    pub rows: Tensor,
    /// Rows of each clip, `[b]` int64, on the CPU.
    pub lengths: Tensor,
}

/// The streams of a batch by name.
pub type StreamBatches = BTreeMap<String, StreamBatch>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_written_in_several_ways() {
        let read = |json: &str| serde_json::from_str::<Streams>(json).map_err(|e| e.to_string());
        for both in [r#""both""#, r#"["spatial", "mouthing"]"#, r#""mouthing,spatial""#] {
            assert_eq!(read(both), Ok(Streams::both()), "{both}");
        }
        assert_eq!(read(r#""mouthing""#), Ok(Streams::only(MOUTHING)));
        let three = read(r#"["motion", "mouthing", "spatial"]"#).unwrap();
        assert_eq!(serde_json::to_string(&three).unwrap(), r#"["spatial","mouthing","motion"]"#);
        for (wrong, why) in
            [(r#""""#, "names"), ("[]", "names"), (r#""spatial,spatial""#, "twice"), (r#"["a/b"]"#, "names")]
        {
            assert!(read(wrong).is_err_and(|e| e.contains(why)), "{wrong}");
        }
        for (wrong, why) in [
            (r#""both,motion""#, r#"head.streams is "both,motion": "both" is not the name of a stream"#),
            (r#"["both"]"#, r#"head.streams is ["both"]: "both" is not the name of a stream"#),
            ("null", "head.streams is null: give names of streams"),
            ("3", "head.streams is 3: give names of streams"),
            (r#"["spatial", 3]"#, r#"head.streams is ["spatial",3]: give names of streams"#),
        ] {
            let error = read(wrong).unwrap_err();
            assert!(error.starts_with(why) && !error.contains('\n'), "{wrong}: {error}");
        }
    }
}
