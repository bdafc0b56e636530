//! How the features of a run were made, by stream: the same however the streams are spread over stores.

use crate::head::streams::Streams;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use signclip_common::difference;
use signclip_common::store::{StoreInfo, StreamInfo};
use std::collections::{BTreeMap, BTreeSet};

/// For each stream in use, what `store.json` says of its making: network, weights, settings, frame rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Value")]
pub struct Making(BTreeMap<String, Value>);

impl Making {
    /// Of `streams` in stores described by `infos`.
    pub fn of<'s>(infos: impl IntoIterator<Item = &'s StoreInfo>, streams: &Streams) -> Self {
        let all = infos.into_iter().flat_map(|info| by_stream(&info.making()));
        Self(all.filter(|(name, _)| streams.has(name)).collect())
    }

    /// Description of each stream by its name, as below `streams` in `store.json`.
    pub fn streams(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.0.iter().map(|(name, making)| (name, &making["streams"][name]))
    }

    /// Whether untrained networks with computed weights made any of it.
    pub fn is_computed(&self) -> bool {
        let mut weights = self.streams().filter_map(|(_, stream)| stream["weights"].as_object()).flatten();
        weights.any(|(_, identity)| identity.as_str().is_some_and(StreamInfo::is_computed))
    }

    /// The first stream that was made otherwise in `other`: its name, the field of `store.json`, the value here and there.
    pub fn difference(&self, other: &Self) -> Option<(String, [String; 3])> {
        let names = self.0.keys().chain(other.0.keys()).collect::<BTreeSet<_>>();
        names.into_iter().find_map(|name| {
            let [here, there] = [self, other].map(|making| making.0.get(name).unwrap_or(&Value::Null));
            let (field, here, there) = difference::first(here, there)?;
            Some((name.clone(), [field, here, there]))
        })
    }
}

/// Runs of earlier versions have one description of all streams.
impl From<Value> for Making {
    fn from(written: Value) -> Self {
        match written {
            Value::Object(streams) if !streams.contains_key("streams") => Self(streams.into_iter().collect()),
            store => Self(by_stream(&store)),
        }
    }
}

/// A store's making with one stream alone, for each. How many bytes a value has in the store makes no other features.
fn by_stream(store: &Value) -> BTreeMap<String, Value> {
    let streams = store["streams"].as_object().into_iter().flatten();
    let alone = |(name, stream): (&String, &Value)| {
        let mut making = store.clone();
        if let Some(fields) = making.as_object_mut() {
            fields.remove("dtype");
            fields.insert("streams".to_owned(), serde_json::json!({ name.as_str(): stream }));
        }
        (name.clone(), making)
    };
    streams.map(alone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn how_streams_are_spread_over_stores_makes_no_difference() {
        let stream = |salt: &str| json!({ "weights": { "CLIP": salt } });
        let whole: Making = json!({
            "dtype": "<f2", "fps": 25.0, "config": {}, "streams": { "spatial": stream("a"), "mouthing": stream("b") },
        })
        .into();
        let [hands, mouths] = [("spatial", "a"), ("mouthing", "b")].map(|(name, salt)| {
            json!({ "dtype": "<f4", "fps": 25.0, "config": {}, "streams": { name: stream(salt) } })
        });
        let mut spread = by_stream(&hands);
        spread.extend(by_stream(&mouths));
        assert_eq!(whole.difference(&Making(spread)), None);
        assert_eq!(Making::from(serde_json::to_value(&whole).expect("JSON")), whole);

        let mouths = json!({ "fps": 25.0, "config": {}, "streams": { "mouthing": stream("c") } });
        let mut other = by_stream(&hands);
        other.extend(by_stream(&mouths));
        let found = whole.difference(&Making(other));
        let wanted = ["streams.mouthing.weights.CLIP", "\"b\"", "\"c\""].map(str::to_owned);
        assert_eq!(found, Some(("mouthing".to_owned(), wanted)));
    }
}
