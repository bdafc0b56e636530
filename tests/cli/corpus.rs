//! Rendered corpora and their features, made once for all tests, and comparisons of stores.

use crate::program::{self, extract};
use signclip_common::store::Store;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::TempDir;

/// An empty folder that goes when it is dropped.
pub(crate) fn empty() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// 16 clips laid out as PHOENIX14T: 12 in train, 2 in dev, 2 in test.
pub(crate) fn phoenix() -> &'static Path {
    static CORPUS: OnceLock<PathBuf> = OnceLock::new();
    CORPUS.get_or_init(|| render("phoenix", "--layout phoenix --clips 16"))
}

/// The same number of clips in full videos, laid out as How2Sign.
pub(crate) fn how2sign() -> &'static Path {
    static CORPUS: OnceLock<PathBuf> = OnceLock::new();
    CORPUS.get_or_init(|| render("how2sign", "--layout how2sign --clips 16 --video-size 160x128"))
}

/// Features of [`phoenix`] with the small networks, all splits.
pub(crate) fn features() -> &'static Path {
    static FEATURES: OnceLock<PathBuf> = OnceLock::new();
    FEATURES.get_or_init(|| {
        let out = shared().join("features");
        extract_phoenix(&out, "").exits(0);
        out
    })
}

/// `extract` on [`phoenix`], with the landmarks of the drawn faces, into `out`.
pub(crate) fn extract_phoenix(out: &Path, more: &str) -> program::Done {
    let (root, out) = (phoenix().display(), out.display());
    let line = format!("--dataset phoenix --root {root} --landmarks {root}/landmarks --out {out} {more}");
    extract(shared(), &line)
}

/// `extract --verify` finds nothing wrong in `out`.
#[track_caller]
pub(crate) fn verified(out: &Path) {
    let done = extract(shared(), &format!("--verify --out {}", out.display()));
    done.exits(0).says(&["every length and checksum agrees"]);
}

/// A folder for what all tests of this process share.
fn shared() -> &'static Path {
    static SHARED: OnceLock<PathBuf> = OnceLock::new();
    SHARED.get_or_init(|| {
        let base = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli");
        // Statics are never dropped, so the folders of earlier processes are removed here.
        for entry in std::fs::read_dir(&base).into_iter().flatten().flatten() {
            if !Path::new("/proc").join(entry.file_name()).exists() {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        let folder = base.join(std::process::id().to_string());
        std::fs::create_dir_all(&folder).expect("a folder below the build folder");
        folder
    })
}

fn render(name: &str, arguments: &str) -> PathBuf {
    let line = format!("--out {name} {arguments}");
    program::run(shared(), "render-corpus", program::words(&line)).exits(0);
    shared().join(name)
}

/// The only files of `folder`, sorted by name.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|e| e.expect("an entry").path()).collect();
    files.sort();
    files
}

/// Every file below `folder` with its bytes, but for locks, which say who held them last.
pub(crate) fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut tree = BTreeMap::new();
    for path in files(folder) {
        if path.is_dir() {
            tree.extend(self::tree(&path));
        } else if !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".lock")) {
            tree.insert(path.clone(), std::fs::read(&path).expect("a readable file"));
        }
    }
    tree
}

/// Copy a folder with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    for (path, bytes) in tree(from) {
        let path = to.join(path.strip_prefix(from).expect("below the folder"));
        std::fs::create_dir_all(path.parent().expect("in a folder")).expect("a folder");
        std::fs::write(path, bytes).expect("a copy");
    }
}

/// One split of a store.
#[track_caller]
pub(crate) fn store(out: &Path, split: &str) -> Store {
    Store::open(&out.join(split)).unwrap_or_else(|e| panic!("{e}"))
}

/// Ids of a store, sorted.
pub(crate) fn ids(store: &Store) -> Vec<&str> {
    let mut ids: Vec<&str> = store.clips.iter().map(|c| c.id.as_str()).collect();
    ids.sort_unstable();
    ids
}

/// Bytes of each clip's rows, in all streams.
pub(crate) fn payloads(store: &Store) -> BTreeMap<String, Vec<u8>> {
    let rows = |clip| {
        let streams = store.info.streams.keys();
        let rows = streams.map(|stream| store.features(clip, stream).expect("a stream").bytes.to_vec());
        rows.collect::<Vec<_>>().concat()
    };
    store.clips.iter().enumerate().map(|(clip, record)| (record.id.clone(), rows(clip))).collect()
}
