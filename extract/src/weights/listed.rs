//! The files of `manifests/weights.json`, and whether what lies in their places is them.

use crate::weights::checkpoint::{Checkpoint, METADATA};
use serde::Deserialize;
use signclip_common::places::{self, Form};
use signclip_common::regular_file::{self, SETTINGS};
use signclip_common::safetensors_file::SafetensorsFile;
use signclip_common::weight_file::is_lfs_pointer;
use signclip_common::{Error, Result, checksum};
use std::io::Read;
use std::path::Path;

/// One pretrained file in `manifests/weights.json`.
#[derive(Debug, Deserialize)]
pub struct WeightFile {
    pub path: String,
    pub what: String,
    pub needed_by: Vec<String>,
    /// The page that it comes from.
    pub source: String,
    /// The address of the file itself; absent where it has none.
    pub url: Option<String>,
    pub licence: String,
    /// The page of a licence that has to be accepted before the file is used.
    pub agreement: Option<String>,
    /// Known size and SHA-256; absent where nobody could check them.
    pub bytes: Option<u64>,
    pub sha256: Option<String>,
    /// The network in a checkpoint, as it is described when it is recognised.
    pub holds: Option<String>,
    /// Needed only with a flag.
    #[serde(default)]
    pub optional: bool,
}

#[derive(Debug, Deserialize)]
pub struct WeightManifest {
    pub files: Vec<WeightFile>,
}

/// The state of `file` below `folder` in a word or two, and what else there is to say.
pub fn look(folder: &Path, file: &WeightFile) -> Result<(&'static str, String)> {
    let Some((found, form)) = places::weight_file(folder, &file.path) else {
        return Ok(("missing", format!("from {}", file.source)));
    };
    let path = &folder.join(found);
    match form {
        Form::Original => {}
        Form::Converted => return look_at_converted(path, file),
        Form::Torch => return Ok(("present", format!("{} in its place", path.display()))),
    }
    look_at(path, file)
}

/// The state of `path`, which should be `file` as it was published. Its ending is the file's own.
pub fn look_at(path: &Path, file: &WeightFile) -> Result<(&'static str, String)> {
    let mut head = Vec::new();
    let opened = match regular_file::open(path) {
        Ok(opened) => opened,
        Err(error) => return Ok(("unusable", Error::io(path)(error).to_string())),
    };
    opened.take(1024).read_to_end(&mut head).map_err(Error::io(path))?;
    if is_lfs_pointer(&head) {
        return Ok((
            "LFS pointer",
            "run `git lfs pull` where it came from, or download the file itself".to_owned(),
        ));
    }
    let length = path.metadata().map_err(Error::io(path))?.len();
    if let Some(bytes) = file.bytes.filter(|bytes| *bytes != length) {
        return Ok(("wrong size", format!("{length} bytes where {bytes} are expected; download it again")));
    }
    let sum = checksum::of_file(path)?;
    let detail = match &file.sha256 {
        Some(wanted) if *wanted != sum => {
            return Ok(("wrong sha256", format!("{sum} where {wanted} is expected")));
        }
        Some(_) => String::new(),
        None => format!("no published checksum to compare with; sha256 {sum}"),
    };
    // Without a checksum the content is what tells the right file from another.
    let content = match path.extension().and_then(|ending| ending.to_str()) {
        Some("pt" | "pth") => right_network(path, file),
        Some("safetensors") => SafetensorsFile::open(path).map(|_| String::new()),
        Some("json") => is_json(path).map(|()| String::new()),
        _ => Ok(String::new()),
    };
    Ok(match content {
        Ok(content) if content.is_empty() || detail.is_empty() => ("present", content + &detail),
        Ok(content) => ("present", format!("{content}; {detail}")),
        Err(error) => ("unusable", error.to_string()),
    })
}

/// What a checkpoint holds. Errors: another network than the one wanted here.
fn right_network(path: &Path, file: &WeightFile) -> Result<String> {
    let found = Checkpoint::open(path)?;
    match &file.holds {
        Some(wanted) if !found.describe().starts_with(wanted.as_str()) => Err(found.mistaken(wanted)),
        _ => Ok(found.describe()),
    }
}

fn is_json(path: &Path) -> Result<()> {
    let text = regular_file::read_to_string(path, SETTINGS).map_err(Error::io(path))?;
    let parsed: Result<serde_json::Value, serde_json::Error> = serde_json::from_str(&text);
    let wrong = |e: serde_json::Error| Error::input(path, "", format!("no JSON ({e})"), "download it again");
    parsed.map(|_| ()).map_err(wrong)
}

/// What `extract convert` made of a file that is not there any more.
fn look_at_converted(path: &Path, file: &WeightFile) -> Result<(&'static str, String)> {
    let found = SafetensorsFile::open(path).and_then(|opened| Ok((opened, right_network(path, file)?)));
    let (opened, network) = match found {
        Ok(found) => found,
        Err(error) => return Ok(("unusable", error.to_string())),
    };
    let source = opened.metadata().get(&format!("{METADATA}source_sha256"));
    if let (Some(wanted), Some(source)) = (&file.sha256, source)
        && wanted != source
    {
        let what = format!("made of a file with sha256 {source} where {wanted} is expected");
        return Ok(("wrong sha256", what));
    }
    Ok(("converted", format!("{network} in {}", path.display())))
}
