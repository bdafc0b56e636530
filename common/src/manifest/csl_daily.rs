//! CSL-Daily: folders of JPEG frames, one list of splits for all clips, and their labels in a file beside it.
//!
//! The labels are read from `video_map.txt`, where that is there, else from the pickle `csl2020ct_v2.pkl`, which is read
//! without executing anything. A clip that the list has and whose frames are absent stays in the list: it is a missing clip
//! of the extraction, and no other clip takes its place.

use super::clip::{Clip, Media, Row, SplitPlaces, below, first_folder};
use super::table;
use crate::torch_file::{Field, read_records};
use crate::{Error, Result};
use std::collections::HashMap;
use std::path::Path;

const TABLE: &str = "video_map.txt";
const PICKLE: &str = "csl2020ct_v2.pkl";

/// Sentence and glosses by the clip's name.
type Labels = HashMap<String, (Option<String>, Option<String>)>;

pub(super) fn read(annotation: &Path, home: &Path, split: &SplitPlaces) -> Result<Vec<Row>> {
    let frames = first_folder(home, &split.media);
    let mut labels = labels(annotation)?;
    let mut rows = Vec::new();
    for row in table::read(annotation, &["name", "split"])? {
        let [name, of_split] = &row.fields[..] else { unreachable!() };
        if of_split != &split.name && Some(of_split) != split.also.as_ref() {
            continue;
        }
        let folder = below(annotation, row.line, &frames, name)?;
        let (text, gloss) = labels.remove(name).unwrap_or_default();
        let clip = Clip { id: name.clone(), media: Media::Frames(folder), text, signer: None, gloss };
        rows.push((row.line, clip));
    }
    if rows.is_empty() {
        let what = format!("no clip of the split {}", split.name);
        return Err(Error::input(annotation, "split", what, "is this the data set's own list?"));
    }
    Ok(rows)
}

fn labels(annotation: &Path) -> Result<Labels> {
    let (table, pickle) = (annotation.with_file_name(TABLE), annotation.with_file_name(PICKLE));
    // Written apart: 今 天.
    let joined = |words: &str| Some(words.split_whitespace().collect::<String>()).filter(|t| !t.is_empty());
    if table.is_file() {
        let rows = table::read(&table, &["name", "gloss", "char"])?;
        return Ok(rows
            .into_iter()
            .map(|row| {
                let [name, gloss, char] = &row.fields[..] else { unreachable!() };
                (name.clone(), (joined(char), Some(gloss.clone())))
            })
            .collect());
    }
    if !pickle.is_file() {
        let what = format!("neither {TABLE} nor {PICKLE} is beside it: the clips have no sentences");
        return Err(Error::input(annotation, "", what, "fetch one of the two from where the data set is"));
    }
    let records = read_records(&pickle, "info", &["name", "label_char", "label_gloss"])?;
    let mut labels = Labels::new();
    for (number, record) in records.into_iter().enumerate() {
        let [name, chars, gloss] = record.try_into().unwrap_or_default();
        let Some(Field::Text(name)) = name else {
            let place = format!("info[{number}].name");
            return Err(Error::input(&pickle, place, "not a text", "fetch the file again"));
        };
        let written = |field: Option<Field>| match field? {
            Field::Text(text) => Some(text),
            Field::Texts(texts) => Some(texts.join(" ")),
        };
        labels.insert(name, (written(chars).and_then(|chars| joined(&chars)), written(gloss)));
    }
    Ok(labels)
}
