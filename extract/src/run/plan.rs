//! What a run would do: clips by split, what is missing, how many frames and bytes.

use crate::media::reading::{Reading, TARGET_FPS, VideoConfig};
use crate::recipe::Recipe;
use rayon::prelude::*;
use serde::Serialize;
use signclip_common::manifest::{Clip, Dataset, Layout, Media, Split, read_json_lines};
use signclip_common::manifests::Manifests;
use signclip_common::{Error, Result, places};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

/// Which clips a run is about.
#[derive(Debug, Default, clap::Args)]
pub struct Selection {
    /// A data set by name (phoenix, how2sign, or one of $SIGNCLIP_MANIFESTS), or a .jsonl file with own clips, whose paths may lead anywhere
    #[arg(long, value_name = "NAME|FILE", conflicts_with = "videos")]
    pub dataset: Option<String>,
    /// Videos, each a clip of its own
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub videos: Vec<PathBuf>,
    /// The data set's folder [default: $SIGNCLIP_DATA/<dataset>, else data/<dataset>]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Only these splits (train,dev,test) [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub split: Vec<String>,
    /// Only this clip; may be given several times
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    pub only: Vec<String>,
    /// Only the first N clips of each split
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Language of own data, for the prompt of the language model
    #[arg(long, value_name = "WORD")]
    pub language: Option<String>,
}

impl Selection {
    /// Whether a data set is named, with all clips of its splits.
    pub fn all_clips(&self) -> bool {
        self.dataset.is_some() && self.only.is_empty() && self.limit.is_none()
    }
}

/// A data set opened at its folder, with the clips this run is about.
pub struct Plan {
    pub dataset: Dataset,
    pub root: PathBuf,
    pub splits: Vec<Split>,
    /// How the clips' media are read.
    pub reading: Reading,
    /// Splits whose annotation file is absent, with the places looked at.
    pub absent: BTreeMap<String, String>,
    /// Clips of each split before `--only` and `--limit`.
    totals: BTreeMap<String, usize>,
}

/// One split of the printed plan.
#[derive(Debug, Serialize)]
pub struct SplitSummary {
    pub annotation: PathBuf,
    pub clips: usize,
    /// Frames at 25 fps where the annotation or the folder says so.
    pub frames: usize,
    /// Clips whose frames are not known before decoding.
    pub clips_of_unknown_length: usize,
    pub missing_media: usize,
    /// Some of the paths that are missing.
    pub missing_examples: Vec<PathBuf>,
    /// Distinct words of the sentences, split at white space.
    pub vocabulary: usize,
    pub frames_to_encode: usize,
    /// Absent where the recipe cannot be made.
    pub bytes_to_write: Option<u64>,
}

/// The printed plan.
#[derive(Debug, Serialize)]
pub struct Summary {
    pub dataset: String,
    pub title: String,
    pub root: PathBuf,
    pub splits: BTreeMap<String, SplitSummary>,
    pub absent_splits: BTreeMap<String, String>,
    pub remarks: Vec<String>,
    pub clips: usize,
    pub missing_media: usize,
    pub frames_to_encode: usize,
    /// Absent where the recipe cannot be made.
    pub bytes_to_write: Option<u64>,
}

impl Plan {
    /// Reads manifests and annotations of what is selected. `video`: how videos are read.
    pub fn new(args: &Selection, video: VideoConfig) -> Result<Self> {
        Self::read(args, video, false)
    }

    /// The same of clips whose features are there already; their media are not looked at.
    pub fn of_features(args: &Selection) -> Result<Self> {
        Self::read(args, VideoConfig::default(), true)
    }

    fn read(args: &Selection, video: VideoConfig, of_features: bool) -> Result<Self> {
        let mut plan = match &args.dataset {
            Some(file) if file.ends_with(".jsonl") => Self::own(Path::new(file), args, of_features)?,
            Some(name) => Self::known(name, args, of_features)?,
            None if !args.videos.is_empty() => Self::videos(args)?,
            None if of_features => {
                return Err(Error::usage(
                    "nothing says which clips there are",
                    "give --dataset NAME, or --dataset FILE.jsonl with the clips' ids and sentences",
                ));
            }
            None => {
                return Err(Error::usage(
                    "nothing to extract",
                    "give --dataset NAME or --videos FILE..., see extract --help",
                ));
            }
        };
        plan.reading = Reading { folder_fps: plan.dataset.fps, video };
        plan.narrow(args)?;
        Ok(plan)
    }

    /// Whether any clip is a video, and no folder of pictures.
    pub fn has_videos(&self) -> bool {
        self.splits
            .iter()
            .flat_map(|split| &split.clips)
            .any(|clip| matches!(clip.media, Media::Video { .. }))
    }

    /// Clips of a split, those that `--only` and `--limit` leave out included.
    pub fn total(&self, split: &Split) -> usize {
        self.totals.get(&split.name).copied().unwrap_or(split.clips.len())
    }

    /// How many clips the split is to have, of which a store `before` this run was to have so many. A part that is named says
    /// nothing about it; a limit does, but takes nothing back.
    pub fn to_be(&self, split: &Split, selection: &Selection, before: Option<usize>) -> usize {
        match selection.limit {
            _ if !selection.only.is_empty() => before.unwrap_or(self.total(split)),
            Some(_) => split.clips.len().max(before.unwrap_or(0)),
            None => split.clips.len(),
        }
    }

    fn known(name: &str, args: &Selection, of_features: bool) -> Result<Self> {
        let dataset = Dataset::load(&Manifests::here()?, name)?;
        let root = dataset.home(&places::data_root(args.root.as_deref(), name)?)?;
        for wanted in &args.split {
            let known = |s: &&signclip_common::manifest::SplitPlaces| {
                s.name == *wanted || s.also.as_deref() == Some(wanted.as_str())
            };
            if !dataset.splits.iter().any(|s| known(&s)) {
                let names: Vec<&str> = dataset.splits.iter().map(|s| s.name.as_str()).collect();
                return Err(Error::usage(
                    format!("{name} has no split {wanted:?}"),
                    format!("it has {}", names.join(", ")),
                ));
            }
        }
        let (splits, absent, totals) = Default::default();
        let mut plan = Self { root, splits, reading: dataset.fps.into(), absent, totals, dataset };
        for split in &plan.dataset.splits {
            let named = |w: &String| *w == split.name || split.also.as_ref() == Some(w);
            if !args.split.is_empty() && !args.split.iter().any(named) {
                continue;
            }
            match plan.dataset.read(&plan.root, split, of_features)? {
                Some(read) => plan.splits.push(read),
                None => {
                    let looked: Vec<String> =
                        split.annotations.iter().map(|a| plan.root.join(a).display().to_string()).collect();
                    plan.absent.insert(split.name.clone(), looked.join(", "));
                }
            }
        }
        Ok(plan)
    }

    fn own(file: &Path, args: &Selection, of_features: bool) -> Result<Self> {
        let mut splits = read_json_lines(file, of_features)?;
        if let Some(wanted) = args.split.iter().find(|wanted| !splits.iter().any(|s| s.name == **wanted)) {
            let names: Vec<&str> = splits.iter().map(|s| s.name.as_str()).collect();
            let what = format!("{} has no split {wanted:?}", file.display());
            return Err(Error::usage(what, format!("it has {}", names.join(", "))));
        }
        splits.retain(|s| args.split.is_empty() || args.split.contains(&s.name));
        let root = file.parent().unwrap_or(Path::new("")).to_path_buf();
        let dataset = Dataset::own(file, args.language.clone());
        let (absent, totals) = Default::default();
        Ok(Self { reading: dataset.fps.into(), dataset, root, splits, absent, totals })
    }

    fn videos(args: &Selection) -> Result<Self> {
        let mut clips: Vec<Clip> = Vec::new();
        for path in &args.videos {
            let id = path.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
            if id.trim_matches('.').is_empty() || id.chars().any(char::is_control) {
                return Err(Error::usage(
                    format!("--videos {path:?}: its name cannot be a clip id"),
                    "give a file with a plain name, or write a .jsonl file with ids of your own",
                ));
            }
            if clips.iter().any(|c| c.id == id) {
                return Err(Error::usage(
                    format!("two of the videos are named {id:?}"),
                    "names become clip ids: rename one, or write a .jsonl file with ids of your own",
                ));
            }
            let media = Media::Video { path: path.clone(), start: None, end: None };
            clips.push(Clip { id, media, text: None, signer: None, gloss: None });
        }
        let mut dataset = Dataset::own(Path::new("videos"), args.language.clone());
        dataset.layout = Layout::JsonLines;
        let split = Split {
            name: "all".to_owned(),
            clips,
            annotation: PathBuf::from("--videos"),
            remarks: Vec::new(),
        };
        let (absent, totals) = Default::default();
        let reading = dataset.fps.into();
        Ok(Self { dataset, root: PathBuf::new(), splits: vec![split], reading, absent, totals })
    }

    /// Keep the clips that `--only` and `--limit` name.
    fn narrow(&mut self, args: &Selection) -> Result<()> {
        self.totals = self.splits.iter().map(|split| (split.name.clone(), split.clips.len())).collect();
        if !args.only.is_empty() {
            let mut wanted: HashSet<&str> = args.only.iter().map(String::as_str).collect();
            for split in &mut self.splits {
                split.clips.retain(|c| args.only.contains(&c.id));
                wanted.retain(|id| !split.clips.iter().any(|c| c.id == *id));
            }
            if let Some(id) = wanted.into_iter().min() {
                return Err(Error::usage(
                    format!("--only {id}: no such clip"),
                    "ids are in the annotation file",
                ));
            }
        }
        if let Some(limit) = args.limit {
            self.splits.iter_mut().for_each(|s| s.clips.truncate(limit));
        }
        self.splits.retain(|s| !s.clips.is_empty());
        Ok(())
    }

    /// Whether a run can begin: annotations of every split, and at least one clip's media. Errors name what is
    /// missing and the places looked at.
    pub fn check(&self) -> Result<()> {
        self.check_annotations()?;
        let clips_named: usize = self.splits.iter().map(|s| s.clips.len()).sum();
        let mut clips = self.splits.iter().flat_map(|s| &s.clips).peekable();
        let first = clips.peek().map(|c| c.media.path().to_path_buf()).unwrap_or_default();
        if clips.any(|c| c.media.path().exists()) {
            return Ok(());
        }
        let what = match clips_named {
            1 => "no such file or folder",
            _ => "no such file or folder, and none of the other clips' media is there either",
        };
        let remedy = match self.dataset.splits.is_empty() {
            true => "correct the path",
            false => "give the folder with --root DIR; docs/data-sets.md shows the layout that is looked for",
        };
        Err(Error::input(first, "", what, remedy))
    }

    /// Whether there are annotations of every split, and clips.
    pub fn check_annotations(&self) -> Result<()> {
        if let Some((name, looked)) = self.absent.iter().next() {
            let present: Vec<&str> = self.splits.iter().map(|s| s.name.as_str()).collect();
            return Err(Error::usage(
                format!("split {name} has no annotation file; looked for {looked}"),
                format!("fetch it, or name the splits you have: --split {}", present.join(",")),
            ));
        }
        match self.splits.iter().any(|split| !split.clips.is_empty()) {
            true => Ok(()),
            false => Err(Error::usage("no clips to extract", "look at --split, --only and --limit")),
        }
    }

    /// What a split is called, here and by the data set itself.
    pub fn names<'p>(&'p self, split: &'p Split) -> Vec<&'p str> {
        let places = self.dataset.splits.iter().find(|places| places.name == split.name);
        [split.name.as_str()].into_iter().chain(places.and_then(|places| places.also.as_deref())).collect()
    }

    /// Frames that `clips` will have at 25 fps, as far as that is known without decoding.
    pub fn frames<'c>(&self, clips: impl Iterator<Item = &'c Clip>) -> u64 {
        // Side by side: a file server takes its time for each.
        let clips: Vec<&Clip> = clips.collect();
        let known =
            clips.par_iter().filter_map(|c| frames_of(&c.media, &self.reading, c.media.path().exists()));
        known.sum::<usize>() as u64
    }

    /// Counts what is there. Reads folder listings and headers, no more.
    pub fn summary(&self, recipe: Option<&Recipe>) -> Summary {
        let splits: BTreeMap<String, SplitSummary> =
            self.splits.iter().map(|split| (split.name.clone(), self.summarise(split, recipe))).collect();
        let sum = |f: fn(&SplitSummary) -> usize| splits.values().map(f).sum();
        Summary {
            dataset: self.dataset.name.clone(),
            title: self.dataset.title.clone(),
            root: self.root.clone(),
            absent_splits: self.absent.clone(),
            remarks: self.splits.iter().flat_map(|s| s.remarks.clone()).collect(),
            clips: sum(|s| s.clips),
            missing_media: sum(|s| s.missing_media),
            frames_to_encode: sum(|s| s.frames_to_encode),
            bytes_to_write: splits.values().map(|s| s.bytes_to_write).sum::<Option<u64>>(),
            splits,
        }
    }

    fn summarise(&self, split: &Split, recipe: Option<&Recipe>) -> SplitSummary {
        let words: BTreeSet<&str> =
            split.clips.iter().filter_map(|c| c.text.as_deref()).flat_map(str::split_whitespace).collect();
        let mut summary = SplitSummary {
            annotation: split.annotation.clone(),
            clips: split.clips.len(),
            frames: 0,
            clips_of_unknown_length: 0,
            missing_media: 0,
            missing_examples: Vec::new(),
            vocabulary: words.len(),
            frames_to_encode: 0,
            bytes_to_write: None,
        };
        for clip in &split.clips {
            let there = clip.media.path().exists();
            if !there {
                summary.missing_media += 1;
                if summary.missing_examples.len() < 3 {
                    summary.missing_examples.push(clip.media.path().to_path_buf());
                }
            }
            match frames_of(&clip.media, &self.reading, there) {
                Some(frames) => {
                    summary.frames += frames;
                    summary.frames_to_encode += if there { frames } else { 0 };
                }
                None => summary.clips_of_unknown_length += 1,
            }
        }
        summary.bytes_to_write = recipe.map(|recipe| recipe.bytes(summary.frames_to_encode));
        summary
    }
}

/// Frames a clip will have at 25 fps, where that is known without decoding.
fn frames_of(media: &Media, reading: &Reading, there: bool) -> Option<usize> {
    if let Media::Video { start, end: Some(end), .. } = media {
        let seconds = end - start.unwrap_or(0.0);
        return Some((seconds * TARGET_FPS).round().max(1.0) as usize);
    }
    let probe = there.then(|| crate::media::frame_reader::probe(media, *reading).ok()).flatten()?;
    let seconds = probe.seconds()?;
    Some((seconds * TARGET_FPS).round().max(1.0) as usize)
}

impl Summary {
    /// The plan as a table for people.
    pub fn table(&self) -> String {
        let mut out = format!("{} at {}\n\n", self.title, self.root.display());
        out += "split      clips   missing    frames  to encode     to write  vocabulary\n";
        for (name, s) in &self.splits {
            let unknown = if s.clips_of_unknown_length > 0 { "+" } else { "" };
            out += &format!(
                "{name:<8} {:>7}   {:>7} {:>9} {:>10} {:>12}  {:>10}\n",
                s.clips,
                s.missing_media,
                format!("{}{unknown}", s.frames),
                s.frames_to_encode,
                s.bytes_to_write.map_or("?".to_owned(), bytes),
                s.vocabulary
            );
        }
        out += &format!(
            "{:<8} {:>7}   {:>7} {:>9} {:>10} {:>12}\n",
            "all",
            self.clips,
            self.missing_media,
            "",
            self.frames_to_encode,
            self.bytes_to_write.map_or("?".to_owned(), bytes)
        );
        for (name, looked) in &self.absent_splits {
            out += &format!("\nsplit {name}: no annotation file; looked for {looked}\n");
        }
        for (name, s) in self.splits.iter().filter(|(_, s)| s.missing_media > 0) {
            let example = s.missing_examples[0].display();
            out += &format!(
                "\nsplit {name}: media of {} of {} clips missing, e.g. {example}\n",
                s.missing_media, s.clips
            );
        }
        for remark in &self.remarks {
            out += &format!("\n{remark}\n");
        }
        if self.splits.values().any(|s| s.clips_of_unknown_length > 0) {
            out += "\n+: more, in clips whose length is not known before decoding\n";
        }
        out
    }
}

/// Bytes for people.
pub fn bytes(n: u64) -> String {
    match n {
        0..1_000_000 => format!("{:.1} kB", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", n as f64 / 1e6),
        _ => format!("{:.1} GB", n as f64 / 1e9),
    }
}
