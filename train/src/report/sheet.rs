//! Contact sheets of `extract --preview`: pictures of a clip's frames and mouths, and where on the sheet they are.
//!
//! The sheet says it itself, in a text chunk of the PNG file (see [`KEYWORD`]): a JSON list of columns in the order of
//! time, `{"frame": 8, "picture": [left, top, width, height], "mouth": [left, top, width, height] or null}`, in pixels.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use signclip_common::regular_file::{self, PICTURE};
use signclip_common::{Error, Result, sheet_name};
use std::io::Cursor;
use std::path::{Path, PathBuf};

/// Keyword of the text chunk.
const KEYWORD: &str = "SignClip columns";

/// One contact sheet.
pub(super) struct Sheet {
    pub(super) columns: Vec<Column>,
    /// Pixels.
    pub(super) width: u32,
    pub(super) height: u32,
    /// The whole picture as a `data:` address.
    pub(super) address: String,
}

/// A frame of the clip on the sheet.
#[derive(Debug, Deserialize)]
pub(super) struct Column {
    pub(super) frame: usize,
    /// Left, top, width, height.
    pub(super) picture: [f64; 4],
    /// Absent where no mouth was cut.
    pub(super) mouth: Option<[f64; 4]>,
}

impl Sheet {
    /// The sheet of a clip in `folder`: `SPLIT/ID.png` or `ID.png` (of a long id, as [`sheet_name`] shortens it). `None` where neither is there.
    pub(super) fn find(folder: &Path, split: &str, id: &str) -> Result<Option<Self>> {
        let name = sheet_name(id);
        let places = [folder.join(split).join(&name), folder.join(&name)];
        let place: Option<PathBuf> = places.into_iter().find(|place| place.is_file());
        place.map(|place| Self::read(&place)).transpose()
    }

    fn read(file: &Path) -> Result<Self> {
        let bytes = regular_file::read(file, PICTURE).map_err(Error::io(file))?;
        let wrong = |what: String| {
            Error::input(
                file,
                "",
                what,
                "make the sheets again with: extract --preview DIR, into a new --out",
            )
        };
        // To the end: the text may follow the picture, and a sheet that is cut short is not shown.
        let mut reader = png::Decoder::new(Cursor::new(&bytes))
            .read_info()
            .map_err(|e| wrong(format!("no PNG file: {e}")))?;
        reader.finish().map_err(|e| wrong(format!("no PNG file: {e}")))?;
        let info = reader.info();
        let text = info.uncompressed_latin1_text.iter().find(|chunk| chunk.keyword == KEYWORD);
        let text = text.ok_or_else(|| wrong("it does not say where its pictures are".to_owned()))?;
        let columns = serde_json::from_str(&text.text).map_err(|e| wrong(format!("its columns: {e}")))?;
        let address = format!("data:image/png;base64,{}", STANDARD.encode(&bytes));
        Ok(Self { columns, width: info.width, height: info.height, address })
    }
}
