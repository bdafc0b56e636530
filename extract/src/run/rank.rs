//! Which share of the work is this process's, when several processes or machines work on one store.
//!
//! The number of ranks and this one's number come from `--shard`, else from what a launcher sets. There is no
//! coordinator: every rank computes all shares from the list of clips, and takes its own.

use signclip_common::manifest::{Clip, Media};
use signclip_common::store::{self, Store};
use signclip_common::{Error, Result};
use std::collections::HashMap;
use std::path::Path;

/// Ranks have five digits in file names.
const MOST: u32 = 99_999;

/// One of `world` processes that share the clips between them.
#[derive(Debug, Clone, PartialEq)]
pub struct Rank {
    /// Counted from 0, as in the names of files.
    pub number: u32,
    pub world: u32,
    /// What said so.
    pub source: String,
    /// This process's number on its machine, and how many there are where that is known.
    pub local: Option<(usize, Option<usize>)>,
}

/// Variables by name; empty ones count as absent.
struct Variables<'e>(&'e dyn Fn(&str) -> Option<String>);

impl Rank {
    /// From `--shard i/n` (i from 1 to n), else from the environment: torchrun's `RANK` and `WORLD_SIZE`, Open MPI's,
    /// `srun`'s, a Slurm job array's. An inner launcher comes before an outer one, whose variables its processes inherit.
    /// Errors: values that make no sense, by name.
    pub fn find(shard: Option<&str>) -> Result<Self> {
        Self::from(shard, &|name| std::env::var(name).ok())
    }

    fn from(shard: Option<&str>, variables: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let variables = Variables(variables);
        let rank = |(number, world), source: &str, local| {
            Ok(Self { number, world, source: source.to_owned(), local })
        };
        let step = variables.slurm_step()?;
        let local = variables.local(step.is_some())?;
        if let Some(text) = shard {
            return rank(parse_shard(text)?, "--shard", local);
        }
        let torch = variables.get("RANK").is_some() && variables.get("WORLD_SIZE").is_some();
        if torch && let Some(pair) = variables.pair("RANK", "WORLD_SIZE")? {
            // RANK set once for the whole job, and every task would do the same share.
            if variables.get("TORCHELASTIC_RUN_ID").is_none()
                && let Some(step) = step.filter(|step| step.1 == pair.1 && step.0 != pair.0)
            {
                return Err(absurd(
                    format!("RANK={} though SLURM_PROCID={}", pair.0, step.0),
                    "unset RANK and WORLD_SIZE",
                ));
            }
            return rank(pair, "RANK, WORLD_SIZE", local);
        }
        if let Some(pair) = variables.pair("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE")? {
            return rank(pair, "OMPI_COMM_WORLD_RANK, OMPI_COMM_WORLD_SIZE", local);
        }
        match (variables.slurm_array()?, step.filter(|step| step.1 > 1)) {
            (Some(array), Some(step)) => {
                let world = array.1.checked_mul(step.1).filter(|world| *world <= MOST).ok_or_else(|| {
                    absurd(format!("SLURM_NTASKS={} in an array of {} jobs", step.1, array.1), "use fewer")
                })?;
                rank((array.0 * step.1 + step.0, world), "SLURM_ARRAY_TASK_ID, SLURM_PROCID", local)
            }
            (Some(array), None) => rank(array, "SLURM_ARRAY_TASK_ID", local),
            (None, Some(step)) => rank(step, "SLURM_PROCID, SLURM_NTASKS", local),
            (None, None) => {
                let alone = variables.pair("RANK", "WORLD_SIZE")?.unwrap_or((0, 1));
                rank(alone, "one process", local)
            }
        }
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
        let all: Vec<&str> = list.split(',').collect();
        let Some((local, count)) = self.local.filter(|_| all.len() > 1) else { return list.to_owned() };
        let count = count.unwrap_or(all.len()).min(all.len());
        let own = all.iter().enumerate().filter(|(device, _)| device % count == local % count);
        own.map(|(_, name)| *name).collect::<Vec<_>>().join(",")
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

fn parse_shard(text: &str) -> Result<(u32, u32)> {
    let numbers = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    match numbers {
        Some((i, n)) if (1..=n).contains(&i) && n <= MOST => Ok((i - 1, n)),
        _ => Err(Error::usage(
            format!("--shard {text}: not a share"),
            "give i/n with i from 1 to n, as in --shard 2/8 for the second of eight",
        )),
    }
}

fn absurd(what: String, remedy: &str) -> Error {
    Error::usage(what, format!("{remedy}, or say which share this is with --shard i/n"))
}

impl Variables<'_> {
    fn get(&self, name: &str) -> Option<String> {
        (self.0)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn number(&self, name: &str) -> Result<Option<u32>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let number = value.parse::<u32>().ok().filter(|number| *number <= i32::MAX as u32);
        number.map(Some).ok_or_else(|| absurd(format!("{name}={value} is not a number from 0"), "correct it"))
    }

    /// A rank and the number of ranks.
    fn pair(&self, rank: &str, world: &str) -> Result<Option<(u32, u32)>> {
        match (self.number(rank)?, self.number(world)?) {
            (None, None) => Ok(None),
            (Some(number), Some(size)) if number < size && size <= MOST => Ok(Some((number, size))),
            (Some(number), Some(size)) => {
                let what =
                    format!("{rank}={number} with {world}={size}: not one of 1 to {MOST} ranks from 0");
                Err(absurd(what, "correct them"))
            }
            (Some(_), None) => Err(absurd(format!("{rank} is set, {world} is not"), "set both or none")),
            (None, Some(_)) => Err(absurd(format!("{world} is set, {rank} is not"), "set both or none")),
        }
    }

    /// Task and tasks of a step that `srun` started. A batch script has a SLURM_PROCID as well, but is one process.
    fn slurm_step(&self) -> Result<Option<(u32, u32)>> {
        if self.get("SLURM_STEP_ID").is_none() {
            return Ok(None);
        }
        self.pair("SLURM_PROCID", "SLURM_NTASKS")
    }

    /// Place in a job array and number of its jobs.
    fn slurm_array(&self) -> Result<Option<(u32, u32)>> {
        let Some(id) = self.number("SLURM_ARRAY_TASK_ID")? else { return Ok(None) };
        let need = |name: &str| {
            self.number(name)?.ok_or_else(|| {
                absurd(format!("SLURM_ARRAY_TASK_ID is set, {name} is not"), "set all or none")
            })
        };
        let (first, last) = (need("SLURM_ARRAY_TASK_MIN")?, need("SLURM_ARRAY_TASK_MAX")?);
        let count = need("SLURM_ARRAY_TASK_COUNT")?;
        let step = self.number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1);
        let even = (first..=last).contains(&id) && (id - first).is_multiple_of(step);
        if !even || last - first != count.saturating_sub(1).saturating_mul(step) || count > MOST {
            let what = format!(
                "SLURM_ARRAY_TASK_ID={id}: not one of SLURM_ARRAY_TASK_COUNT={count} jobs from {first} to {last} by {step}"
            );
            return Err(absurd(what, "submit with --array=0-7 or the like"));
        }
        Ok(Some(((id - first) / step, count)))
    }

    /// This process's number on its machine, and how many there are.
    fn local(&self, step: bool) -> Result<Option<(usize, Option<usize>)>> {
        for (rank, size) in
            [("LOCAL_RANK", "LOCAL_WORLD_SIZE"), ("OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE")]
        {
            if let Some(local) = self.number(rank)? {
                let size = self.number(size)?.filter(|size| *size > local);
                return Ok(Some((local as usize, size.map(|size| size as usize))));
            }
        }
        match self.number("SLURM_LOCALID")? {
            Some(local) if step => Ok(Some((local as usize, self.slurm_tasks_here()?))),
            _ => Ok(None),
        }
    }

    /// Tasks of the step on this node: `SLURM_STEP_TASKS_PER_NODE` is a list as `2(x3),1`.
    fn slurm_tasks_here(&self) -> Result<Option<usize>> {
        let (Some(list), Some(node)) = (self.get("SLURM_STEP_TASKS_PER_NODE"), self.number("SLURM_NODEID")?)
        else {
            return Ok(None);
        };
        let mut first = 0;
        for entry in list.split(',') {
            let (tasks, nodes) = entry.trim_end_matches(')').split_once("(x").unwrap_or((entry, "1"));
            let (Ok(tasks), Ok(nodes)) = (tasks.parse::<usize>(), nodes.parse::<u32>()) else {
                return Ok(None);
            };
            first += nodes;
            if node < first {
                return Ok(Some(tasks.max(1)));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn rank(variables: &str) -> Result<Rank> {
        let get = |name: &str| {
            variables.split(' ').find_map(|v| v.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
        };
        Rank::from(None, &get)
    }

    #[test]
    fn launchers() {
        for (variables, number, world) in [
            ("", 0, 1),
            ("SLURM_STEP_ID=0 SLURM_PROCID=3 SLURM_NTASKS=8", 3, 8),
            // A batch script that asked for tasks but is no step: alone.
            ("SLURM_PROCID=0 SLURM_NTASKS=8", 0, 1),
            (
                "OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=2 SLURM_STEP_ID=0 SLURM_PROCID=0 SLURM_NTASKS=2",
                1,
                2,
            ),
            ("RANK=5 WORLD_SIZE=6", 5, 6),
            ("RANK=5 WORLD_SIZE=8 TORCHELASTIC_RUN_ID=1 SLURM_STEP_ID=0 SLURM_PROCID=1 SLURM_NTASKS=2", 5, 8),
            // Exported for another program's sake.
            ("WORLD_SIZE=4 SLURM_STEP_ID=0 SLURM_PROCID=1 SLURM_NTASKS=4", 1, 4),
            (
                "SLURM_ARRAY_TASK_ID=7 SLURM_ARRAY_TASK_MIN=3 SLURM_ARRAY_TASK_MAX=9 SLURM_ARRAY_TASK_STEP=2 \
                 SLURM_ARRAY_TASK_COUNT=4",
                2,
                4,
            ),
            (
                "SLURM_ARRAY_TASK_ID=1 SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_MAX=2 SLURM_ARRAY_TASK_COUNT=3 \
                 SLURM_STEP_ID=0 SLURM_PROCID=1 SLURM_NTASKS=2",
                3,
                6,
            ),
        ] {
            let rank = rank(variables).unwrap();
            assert_eq!((rank.number, rank.world), (number, world), "{variables}");
        }
    }

    #[test]
    fn values_without_sense() {
        for (variables, named) in [
            ("SLURM_STEP_ID=0 SLURM_PROCID=8 SLURM_NTASKS=8", "SLURM_PROCID=8"),
            ("SLURM_STEP_ID=0 SLURM_PROCID=x SLURM_NTASKS=8", "SLURM_PROCID=x"),
            ("SLURM_STEP_ID=0 SLURM_PROCID=1", "SLURM_NTASKS is not"),
            ("OMPI_COMM_WORLD_RANK=-1 OMPI_COMM_WORLD_SIZE=2", "OMPI_COMM_WORLD_RANK=-1"),
            ("OMPI_COMM_WORLD_RANK=1", "OMPI_COMM_WORLD_SIZE"),
            ("RANK=0 WORLD_SIZE=0", "WORLD_SIZE=0"),
            ("RANK=0 WORLD_SIZE=100000", "WORLD_SIZE=100000"),
            ("RANK=2", "WORLD_SIZE"),
            ("WORLD_SIZE=2", "RANK"),
            ("RANK=0 WORLD_SIZE=4 SLURM_STEP_ID=0 SLURM_PROCID=2 SLURM_NTASKS=4", "SLURM_PROCID=2"),
            ("SLURM_ARRAY_TASK_ID=1", "SLURM_ARRAY_TASK_MIN"),
            (
                "SLURM_ARRAY_TASK_ID=3 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_MAX=7 SLURM_ARRAY_TASK_COUNT=3",
                "SLURM_ARRAY_TASK_COUNT=3",
            ),
        ] {
            let error = rank(variables).unwrap_err().to_string();
            assert!(error.contains(named) && error.contains("--shard"), "{variables}: {error}");
        }
        for shard in ["", "1", "0/2", "3/2", "a/b", "1/0", "-1/2", "1/100000"] {
            assert!(Rank::from(Some(shard), &|_| None).is_err(), "{shard}");
        }
        assert_eq!(Rank::from(Some("2/2"), &|_| None).unwrap().number, 1);
    }

    #[test]
    fn devices_of_a_machine() {
        let step = "SLURM_STEP_ID=0 SLURM_PROCID=1 SLURM_NTASKS=7 SLURM_NODEID=3 SLURM_LOCALID=0";
        for (variables, devices) in [
            (String::new(), "0,1,2,3"),
            ("LOCAL_RANK=2 RANK=2 WORLD_SIZE=4".into(), "2"),
            ("OMPI_COMM_WORLD_LOCAL_RANK=1 OMPI_COMM_WORLD_LOCAL_SIZE=2".into(), "1,3"),
            (format!("{step} SLURM_STEP_TASKS_PER_NODE=2(x3),1"), "0,1,2,3"),
            (format!("{step} SLURM_STEP_TASKS_PER_NODE=2,1,2(x2)"), "0,2"),
            // The number of a batch script, not of a task.
            ("SLURM_LOCALID=0".into(), "0,1,2,3"),
        ] {
            assert_eq!(rank(&variables).unwrap().devices("0,1,2,3"), devices, "{variables}");
        }
        assert_eq!(rank("LOCAL_RANK=2 RANK=2 WORLD_SIZE=4").unwrap().devices("cpu"), "cpu");
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
                let rank = Rank { number, world, source: String::new(), local: None };
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
