//! Names of files that others gave the features of a clip.

use signclip_common::manifest::{Clip, Media};
use signclip_common::{Error, Result};
use std::path::{Component, Path, PathBuf};

/// Where the file of a clip is, below a folder: `{split}/{id}_s2wrapping.npy`.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern(String);

/// What a pattern may have in braces.
const WORDS: [&str; 3] = ["{id}", "{split}", "{start}"];

impl Pattern {
    /// Errors: no `{id}`; another word in braces; a place outside of the folder.
    pub fn parse(text: &str) -> Result<Self, String> {
        let others = WORDS.iter().fold(text.to_owned(), |text, word| text.replace(word, "x"));
        if let Some(brace) = others.find(['{', '}']) {
            return Err(format!("{:?}: only {} may stand in braces", &others[brace..], WORDS.join(", ")));
        }
        if !text.contains("{id}") {
            return Err("it has no {id}: each clip has a file of its own".to_owned());
        }
        if !Path::new(&others)
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
        {
            return Err("it leads out of the folder".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where a clip's file may be, in a split of these names. Errors: `{start}` of a clip that has none.
    pub fn places(&self, clip: &Clip, splits: &[&str]) -> Result<Vec<PathBuf>> {
        let mut name = self.0.clone();
        if name.contains("{start}") {
            let Media::Video { start: Some(start), .. } = &clip.media else {
                let what = "the pattern has {start}, and the annotation no start of this clip";
                return Err(Error::usage(what, "take {start} out of the pattern"));
            };
            // As Python writes a float: 5.0 for 5.
            name = name.replace("{start}", &format!("{start:?}"));
        }
        // Last, as an id may have braces of its own.
        let places = splits.iter().map(|split| name.replace("{split}", split).replace("{id}", &clip.id));
        let mut places: Vec<PathBuf> = places.map(PathBuf::from).collect();
        places.dedup();
        Ok(places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(media: Media) -> Clip {
        Clip { id: "a-1".to_owned(), media, text: None, signer: None, gloss: None }
    }

    #[test]
    fn the_names_that_spamo_gives() {
        let places = |pattern: &str, clip: &Clip| {
            Pattern::parse(pattern).expect("a pattern").places(clip, &["dev", "val"]).expect("places")
        };
        let folder = clip(Media::Frames("a".into()));
        assert_eq!(places("{id}_overlap-8.npy", &folder), [Path::new("a-1_overlap-8.npy")]);
        assert_eq!(
            places("mae/{split}/{id}_overlap-8.npy", &folder),
            ["mae/dev/a-1_overlap-8.npy", "mae/val/a-1_overlap-8.npy"].map(Path::new)
        );
        for (start, name) in [(5.0, "a-1_5.0_s2wrapping.npy"), (0.85, "a-1_0.85_s2wrapping.npy")] {
            let video = clip(Media::Video { path: "v.mp4".into(), start: Some(start), end: None });
            assert_eq!(places("{id}_{start}_s2wrapping.npy", &video), [Path::new(name)]);
        }
        assert_eq!(places("./{id}.npy", &folder), [Path::new("./a-1.npy")]);
        let pattern = Pattern::parse("{id}_{start}.npy").expect("a pattern");
        assert!(pattern.places(&folder, &["dev"]).unwrap_err().to_string().contains("no start"));
    }

    #[test]
    fn what_is_no_pattern() {
        for (text, part) in [
            ("spatial.npy", "no {id}"),
            ("{id}_{scale}.npy", "only {id}, {split}, {start}"),
            ("../{id}.npy", "leads out"),
            ("a/../../{id}.npy", "leads out"),
            ("/{id}.npy", "leads out"),
        ] {
            assert!(Pattern::parse(text).is_err_and(|e| e.contains(part)), "{text}");
        }
    }
}
