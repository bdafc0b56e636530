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
use std::path::{Path, PathBuf};

const TABLE: &str = "video_map.txt";
const PICKLE: &str = "csl2020ct_v2.pkl";

/// Sentence and glosses of clips, and the file that they are from.
struct Labels {
    file: PathBuf,
    by_name: HashMap<String, (Option<String>, Option<String>)>,
}

pub(super) fn read(annotation: &Path, home: &Path, split: &SplitPlaces) -> Result<Vec<Row>> {
    let frames = first_folder(home, &split.media);
    let mut labels = Labels::beside(annotation)?;
    let mut rows = Vec::new();
    let mut without = Vec::new();
    for row in table::read(annotation, &["name", "split"])? {
        let [name, of_split] = &row.fields[..] else { unreachable!() };
        if of_split != &split.name && Some(of_split) != split.also.as_ref() {
            continue;
        }
        let folder = below(annotation, row.line, &frames, name)?;
        let (text, gloss) = labels.by_name.remove(name).unwrap_or_default();
        if text.is_none() {
            without.push(name.clone());
        }
        let clip = Clip { id: name.clone(), media: Media::Frames(folder), text, signer: None, gloss };
        rows.push((row.line, clip));
    }
    if rows.is_empty() {
        let what = format!("no clip of the split {}", split.name);
        return Err(Error::input(annotation, "split", what, "is this the data set's own list?"));
    }
    if without.len() == rows.len() {
        let what = format!("no clip of the split {} has a sentence in it, e.g. {}", split.name, without[0]);
        return Err(Error::input(&labels.file, "", what, "is this the data set's own file?"));
    }
    if let Some(first) = without.first() {
        let (many, file, split) = (without.len(), labels.file.display(), &split.name);
        tracing::warn!("{file}: clips of the split {split} without a sentence: {many}, e.g. {first}");
    }
    Ok(rows)
}

impl Labels {
    /// Those beside the list of splits.
    fn beside(annotation: &Path) -> Result<Self> {
        let (table, pickle) = (annotation.with_file_name(TABLE), annotation.with_file_name(PICKLE));
        if table.is_file() {
            return Self::of_table(table);
        }
        if !pickle.is_file() {
            let what = format!("neither {TABLE} nor {PICKLE} is beside it: the clips have no sentences");
            return Err(Error::input(
                annotation,
                "",
                what,
                "fetch one of the two from where the data set is",
            ));
        }
        Self::of_pickle(pickle)
    }

    fn of_table(file: PathBuf) -> Result<Self> {
        let rows = table::read(&file, &["name", "gloss", "char"])?;
        let mut labels = Self { file, by_name: HashMap::new() };
        for row in rows {
            let [name, gloss, char] = row.fields.try_into().unwrap_or_default();
            labels.add(format!("line {}", row.line), name, Some(char), Some(gloss))?;
        }
        Ok(labels)
    }

    fn of_pickle(file: PathBuf) -> Result<Self> {
        let records = read_records(&file, "info", &["name", "label_char", "label_gloss"])?;
        let mut labels = Self { file, by_name: HashMap::new() };
        for (number, record) in records.into_iter().enumerate() {
            let place = format!("info[{number}].name");
            let [name, chars, gloss] = record.try_into().unwrap_or_default();
            let Some(Field::Text(name)) = name else {
                return Err(Error::input(&labels.file, place, "not a text", "fetch the file again"));
            };
            let written = |field: Option<Field>| match field? {
                Field::Text(text) => Some(text),
                Field::Texts(texts) => Some(texts.join(" ")),
            };
            labels.add(place, name, written(chars), written(gloss))?;
        }
        Ok(labels)
    }

    /// The labels of a clip; its characters are written apart: 今 天. Errors: there are some already.
    fn add(
        &mut self,
        place: String,
        name: String,
        chars: Option<String>,
        gloss: Option<String>,
    ) -> Result<()> {
        let sentence = chars.map(|chars| chars.split_whitespace().collect::<String>());
        let sentence = sentence.filter(|sentence| !sentence.is_empty());
        match self.by_name.insert(name.clone(), (sentence, gloss)) {
            None => Ok(()),
            Some(_) => {
                let what = format!("{name} is there twice");
                Err(Error::input(
                    &self.file,
                    place,
                    what,
                    "leave the one that is right, or fetch the file again",
                ))
            }
        }
    }
}
