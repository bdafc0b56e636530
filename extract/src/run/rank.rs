//! Which share of the work is this process's, when several processes or machines work on one store.
//!
//! The number of ranks and this one's number come from `--shard`, else from what a launcher sets. There is no
//! coordinator: every rank computes all shares from the list of clips, and takes its own.

use signclip_common::launcher::{self, Environment, Launched, Local};
use signclip_common::manifest::{Clip, Media};
use signclip_common::store::{self, Store};
use signclip_common::{Error, Result};
use std::collections::HashMap;
use std::path::Path;

/// One of `world` processes that share the clips between them.
#[derive(Debug, Clone, PartialEq)]
pub struct Rank {
    /// Counted from 0, as in the names of files.
    pub number: u32,
    pub world: u32,
    /// What said so.
    pub source: &'static str,
    /// Its place among the processes of its machine, where that is known.
    pub local: Option<Local>,
}

impl Rank {
    /// From `--shard i/n` (i from 1 to n), else from what a launcher set. Errors: values that make no sense, by name.
    pub fn find(shard: Option<&str>) -> Result<Self> {
        let environment = Environment::here();
        let local = environment.local()?;
        let (number, world, source) = match shard {
            Some(text) => {
                let (number, world) = parse_shard(text)?;
                (number, world, "--shard")
            }
            None => {
                let Launched { rank, world, source } = environment.launched().map_err(or_shard)?;
                (rank, world, source)
            }
        };
        Ok(Self { number, world, source, local })
    }

    /// This rank's clips in their order: a function of the clips' order and lengths and of the number of ranks alone. Long
    /// clips are dealt first, each to the rank that has least so far. Lengths are those of the annotations; other clips
    /// count as one of mean length.
    pub fn share(&self, clips: &[Clip]) -> Vec<Clip> {
        if self.world <= 1 {
            return clips.to_vec();
        }
        let known: Vec<Option<f64>> = clips.iter().map(|clip| seconds(&clip.media)).collect();
        let count = known.iter().flatten().count();
        let mean = if count == 0 { 1.0 } else { known.iter().flatten().sum::<f64>() / count as f64 };
        let lengths: Vec<f64> = known.into_iter().map(|length| length.unwrap_or(mean)).collect();
        let mut order: Vec<usize> = (0..clips.len()).collect();
        order.sort_by(|&a, &b| lengths[b].total_cmp(&lengths[a]).then(a.cmp(&b)));
        let mut loads = vec![0.0; self.world as usize];
        let mut own = vec![false; clips.len()];
        for clip in order {
            let least = (0..loads.len()).min_by(|&a, &b| f64::total_cmp(&loads[a], &loads[b])).unwrap_or(0);
            loads[least] += lengths[clip];
            own[clip] = least == self.number as usize;
        }
        clips.iter().zip(own).filter(|(_, own)| *own).map(|(clip, _)| clip.clone()).collect()
    }

    /// This rank's part of `clips` that the user named, and the rank as which it writes. Clips of the store in `folder` stay
    /// with the rank that stored them; a process alone takes the part of the rank whose clip is damaged, as only that
    /// rank's files may change. Errors: damaged clips of several ranks.
    pub fn share_named(&self, folder: &Path, clips: &[Clip]) -> Result<(Self, Vec<Clip>)> {
        let indexes = if folder.is_dir() { store::indexes(folder)? } else { Default::default() };
        let holders: HashMap<&str, u32> = (indexes.iter())
            .flat_map(|(rank, records)| records.iter().map(|record| (record.id.as_str(), *rank)))
            .collect();
        let holder = |clip: &Clip| holders.get(clip.id.as_str()).copied();
        if self.world > 1 {
            let new: Vec<Clip> = clips.iter().filter(|clip| holder(clip).is_none()).cloned().collect();
            let held = clips.iter().filter(|clip| holder(clip) == Some(self.number)).cloned();
            return Ok((self.clone(), self.share(&new).into_iter().chain(held).collect()));
        }
        let mut repaired: Option<(u32, &str)> = None;
        if clips.iter().any(|clip| holder(clip).is_some_and(|rank| rank != self.number)) {
            let there = Store::open(folder)?;
            let damaged = |id: &str| {
                let clip = there.clips.iter().position(|clip| clip.id == id);
                clip.is_some_and(|clip| {
                    there.info.streams.keys().any(|s| there.verify_clip(clip, s).is_err())
                })
            };
            for clip in clips.iter().filter(|clip| damaged(&clip.id)) {
                let Some(rank) = holder(clip) else { continue };
                match repaired {
                    Some((other, first)) if other != rank => {
                        return Err(Error::usage(
                            format!("--only {first} --only {}: damaged clips of two ranks", clip.id),
                            "name those of one rank (NNNNN in the name of the damaged file) at a time",
                        ));
                    }
                    _ => repaired = Some((rank, &clip.id)),
                }
            }
        }
        let number = repaired.map_or(self.number, |(rank, _)| rank);
        Ok((Self { number, world: self.world.max(number + 1), ..self.clone() }, clips.to_vec()))
    }

    /// The devices of `list` (all that are visible) that this process takes where several processes share a machine.
    pub fn devices(&self, list: &str) -> String {
        match self.local {
            Some(local) => local.share(&list.split(',').collect::<Vec<_>>()).join(","),
            None => list.to_owned(),
        }
    }
}

impl std::fmt::Display for Rank {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "share {} of {} (by {})", self.number + 1, self.world, self.source)
    }
}

/// Seconds of a clip where its annotation says so.
fn seconds(media: &Media) -> Option<f64> {
    match media {
        Media::Video { start, end: Some(end), .. } => Some((end - start.unwrap_or(0.0)).max(0.0)),
        _ => None,
    }
}

/// `--shard` is a remedy for every launcher's variables.
fn or_shard(error: Error) -> Error {
    match error {
        Error::Usage { what, remedy } => {
            Error::usage(what, format!("{remedy}, or say which share this is with --shard i/n"))
        }
        error => error,
    }
}

fn parse_shard(text: &str) -> Result<(u32, u32)> {
    let numbers = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    match numbers {
        Some((i, n)) if (1..=n).contains(&i) && n <= launcher::MOST => Ok((i - 1, n)),
        _ => Err(Error::usage(
            format!("--shard {text}: not a share"),
            "give i/n with i from 1 to n, as in --shard 2/8 for the second of eight",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn shards() {
        for shard in ["", "1", "0/2", "3/2", "a/b", "1/0", "-1/2", "1/100000"] {
            assert!(parse_shard(shard).is_err(), "{shard}");
        }
        assert_eq!(parse_shard("2/2").unwrap(), (1, 2));
    }

    #[test]
    fn shares_are_whole_and_even() {
        let clip = |number: usize, length: Option<f64>| Clip {
            id: number.to_string(),
            media: Media::Video { path: PathBuf::new(), start: None, end: length },
            text: None,
            signer: None,
            gloss: None,
        };
        // A long one in every five, and some of unknown length.
        let lengths = (0..200).map(|i| (i % 7 != 0).then_some(if i % 5 == 0 { 30.0 } else { 3.0 }));
        let clips: Vec<Clip> = lengths.enumerate().map(|(i, length)| clip(i, length)).collect();
        for world in [1, 2, 3, 8, 300] {
            let mut seen: Vec<usize> = Vec::new();
            let mut counts = Vec::new();
            let mut loads = Vec::new();
            for number in 0..world {
                let rank = Rank { number, world, source: "", local: None };
                let share = rank.share(&clips);
                assert!(share.is_sorted_by_key(|c| c.id.parse::<usize>().unwrap()));
                counts.push(share.len());
                let long = share.iter().filter(|c| seconds(&c.media) == Some(30.0)).count();
                loads.push(long);
                seen.extend(share.iter().map(|c| c.id.parse::<usize>().unwrap()));
            }
            seen.sort_unstable();
            assert_eq!(seen, (0..200).collect::<Vec<_>>(), "{world}");
            if world == 8 {
                // 34 long clips: four or five each. What is over in one way is made up for by short clips.
                assert!(loads.iter().all(|long| (4..=5).contains(long)), "{loads:?}");
                let total = |rank: usize| loads[rank] * 10 + (counts[rank] - loads[rank]);
                let totals: Vec<usize> = (0..8).map(total).collect();
                let (least, most) = (totals.iter().min().unwrap(), totals.iter().max().unwrap());
                assert!(most - least <= 12, "{totals:?}");
            }
        }
    }
}
