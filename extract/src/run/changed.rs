//! Whether the data set is still the one that a store was made from.

use signclip_common::manifest::{Clip, Media};
use signclip_common::store::{self, ClipRecord};
use signclip_common::{Error, Result};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Refuse a data set in which a clip of the store in `folder` has other words, another part or another source by now:
/// what is stored would continue under its name. `root` is what recorded paths are relative to. Returns the ids of clips that
/// the data set has no longer.
pub fn check_clips(folder: &Path, clips: &[Clip], root: &Path) -> Result<Vec<String>> {
    let mut sizes = HashMap::new();
    refuse(folder, clips, |clip, record| {
        text(clip, record).or_else(|| source_difference(clip, record, root, &mut sizes))
    })
}

/// A field in which a clip is not as it was stored, with the value now and then.
pub type Difference = (&'static str, String, String);

/// Refuse a data set with a clip that has a `difference` to what the store in `folder` has of it. Returns the ids of clips that
/// the data set has no longer.
pub fn refuse(
    folder: &Path,
    clips: &[Clip],
    mut difference: impl FnMut(&Clip, &ClipRecord) -> Option<Difference>,
) -> Result<Vec<String>> {
    let indexes = if folder.is_dir() { store::indexes(folder)? } else { Default::default() };
    let mut stored: HashMap<&str, &ClipRecord> =
        indexes.values().flatten().map(|record| (record.id.as_str(), record)).collect();
    let mut changed = 0;
    let mut first = None;
    for clip in clips {
        let Some(record) = stored.remove(clip.id.as_str()) else { continue };
        if let Some((field, now, then)) = difference(clip, record) {
            changed += 1;
            first.get_or_insert((&clip.id, field, now, then));
        }
    }
    if let Some((id, field, now, then)) = first {
        let others = if changed > 1 {
            format!(", and {} more clips have changed", changed - 1)
        } else {
            String::new()
        };
        return Err(Error::input(
            folder,
            format!("clip {id:?}, {field}"),
            format!("the data set has {now}, the clip was stored with {then}{others}"),
            "extract into another folder with --out, or bring back the data set that this store was made from",
        ));
    }
    let mut gone: Vec<String> = stored.into_keys().map(str::to_owned).collect();
    gone.sort();
    Ok(gone)
}

/// The sentence, where it is another one.
pub fn text(clip: &Clip, record: &ClipRecord) -> Option<Difference> {
    let shown = |text: &Option<String>| text.as_ref().map_or("none".to_owned(), |text| format!("{text:?}"));
    let then = &record.facts.text;
    (clip.text != *then).then(|| ("text", shown(&clip.text), shown(then)))
}

/// The first field of the source that differs. Videos may have moved, but not changed their size.
fn source_difference(
    clip: &Clip,
    record: &ClipRecord,
    root: &Path,
    sizes: &mut HashMap<PathBuf, Option<u64>>,
) -> Option<Difference> {
    let facts = &record.facts;
    match &clip.media {
        Media::Frames(folder) => {
            let source = source(folder, root);
            let same = source == facts.source || size_and_time(&clip.media).0 == facts.source_bytes;
            (!same).then(|| ("source", source, facts.source.clone()))
        }
        Media::Video { path, start, end } => {
            let seconds = |time: Option<f64>| time.map_or("none".to_owned(), |time| format!("{time} s"));
            for (field, now, then) in [("start", *start, facts.start), ("end", *end, facts.end)] {
                if now != then {
                    return Some((field, seconds(now), seconds(then)));
                }
            }
            let size = || path.metadata().ok().map(|metadata| metadata.len());
            let size = *sizes.entry(path.clone()).or_insert_with(size);
            let size = size.filter(|size| *size != facts.source_bytes)?;
            Some((
                "source_bytes",
                format!("{} with {size} bytes", path.display()),
                facts.source_bytes.to_string(),
            ))
        }
        Media::Unknown => None,
    }
}

/// How a store records a path.
pub fn source(path: &Path, root: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

/// Bytes and modification time of a video, or of a folder's files together.
pub fn size_and_time(media: &Media) -> (u64, u64) {
    let of = |meta: std::fs::Metadata| {
        let time = meta.modified().ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
        (meta.len(), time.map_or(0, |t| t.as_secs()))
    };
    match media {
        Media::Video { path, .. } => path.metadata().map(of).unwrap_or_default(),
        Media::Frames(folder) => {
            let files =
                std::fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|e| e.metadata().ok());
            files.map(of).fold((0, 0), |(bytes, latest), (b, t)| (bytes + b, latest.max(t)))
        }
        Media::Unknown => (0, 0),
    }
}
