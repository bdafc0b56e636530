//! A disk that refuses: the n-th call fails, for every n, and the store ends up as if nothing had happened.

use super::{
    ClipFacts, FORMAT, Failure, RowRule, SPATIAL, Store, StoreDtype, StoreInfo, StoreWriter, StreamInfo,
    verify,
};
use crate::disk::faults::{Fault, set};
use crate::manifest::TextRules;
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::path::Path;

const DIM: usize = 3;
const CLIPS: [(&str, usize); 4] = [("a", 3), ("b", 1), ("bad", 2), ("c", 5)];

fn info() -> StoreInfo {
    let stream = StreamInfo {
        dim: DIM,
        rows: RowRule::EACH_FRAME,
        encoder: "e".into(),
        compute: "f32".into(),
        weights: BTreeMap::new(),
        config: serde_json::Value::Null,
    };
    StoreInfo {
        format: FORMAT,
        dataset: "d".into(),
        split: "train".into(),
        language: None,
        text: TextRules { lowercase: false, final_dot: false },
        dtype: StoreDtype::F32,
        fps: 25.0,
        streams: [SPATIAL, "mouthing"].map(|name| (name.to_owned(), stream.clone())).into(),
        config: serde_json::Value::Null,
        tool: "t".into(),
    }
}

/// What `extract` does: everything that is missing, and the list of failures.
fn work(folder: &Path) -> Result<()> {
    let mut store = StoreWriter::open(folder, info(), 0)?;
    let failures = store.failures()?;
    store.write_failures(&failures)?;
    let mut failed = Vec::new();
    for (id, frames) in CLIPS {
        if store.is_done(id) {
            continue;
        }
        let mut clip = store.begin()?;
        for window in 0..frames {
            for (stream, salt) in [(SPATIAL, 0.5), ("mouthing", 0.25)] {
                let row: Vec<f32> =
                    (0..DIM).map(|i| salt + (frames * 100 + window * 10 + i) as f32).collect();
                clip.append(stream, &row)?;
            }
        }
        if id == "bad" {
            drop(clip);
            let failure = Failure { id: id.into(), stage: "decode".into(), reason: "damaged".into() };
            store.add_failure(&failure)?;
            failed.push(failure);
        } else {
            clip.finish(id, frames, ClipFacts::default())?;
        }
    }
    store.write_failures(&failed)
}

/// All files but locks, by name.
fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let named = entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.path()));
    let files = named.filter(|(name, _)| !name.starts_with('.') && !name.ends_with(".tmp"));
    files.map(|(name, path)| (name, std::fs::read(path).unwrap())).collect()
}

fn fails_everywhere(fault: impl Fn(usize) -> Fault) {
    let whole = tempfile::tempdir().unwrap();
    set(Fault::None);
    work(whole.path()).unwrap();
    let calls = set(Fault::None);
    let whole = content(whole.path());
    assert!(calls > 60 && whole.len() == 5, "{calls} calls, {:?}", whole.keys());
    let mut harmless = 0;
    for n in 1..=calls + 1 {
        let folder = tempfile::tempdir().unwrap();
        set(fault(n));
        let failed = work(folder.path());
        set(Fault::None);
        match failed {
            Err(error) => {
                assert!(matches!(error, Error::Io { .. }), "call {n}: {error}");
                assert!(error.to_string().contains("make room"), "call {n}: {error}");
            }
            Ok(()) => harmless += 1,
        }
        // What a reader sees meanwhile is sound, as far as there is anything to see.
        if folder.path().join("clips-00000.jsonl").exists() && !content(folder.path()).is_empty() {
            assert_eq!(verify(folder.path(), |_| ()).unwrap().problems, Vec::<String>::new(), "call {n}");
        }
        work(folder.path()).unwrap_or_else(|error| panic!("call {n}, again: {error}"));
        assert!(content(folder.path()) == whole, "call {n}: the store differs");
        assert_eq!(verify(folder.path(), |_| ()).unwrap().problems, Vec::<String>::new(), "call {n}");
        let ids: Vec<String> = Store::open(folder.path()).unwrap().clips.into_iter().map(|c| c.id).collect();
        assert_eq!(ids, ["a", "b", "c"], "call {n}");
    }
    // The last turn fails nowhere; others where nothing depends on the call, such as removing what is not there.
    assert!((1..calls / 3).contains(&harmless), "{harmless} of {calls} calls did not matter");
}

#[test]
fn a_call_that_fails_once() {
    fails_everywhere(Fault::Once);
}

#[test]
fn nothing_more_from_some_call_on() {
    fails_everywhere(Fault::From);
}
