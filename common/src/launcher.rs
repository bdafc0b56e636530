//! What a launcher tells this process: its rank, the number of ranks, and its number on its machine. Nothing else reads
//! these variables.
//!
//! | launcher | rank, number of ranks | rank on the machine, number of ranks there |
//! |---|---|---|
//! | torchrun | `RANK`, `WORLD_SIZE` | `LOCAL_RANK`, `LOCAL_WORLD_SIZE` |
//! | Open MPI | `OMPI_COMM_WORLD_RANK`, `…_SIZE` | `OMPI_COMM_WORLD_LOCAL_RANK`, `…_LOCAL_SIZE` |
//! | MPICH, Intel MPI | `PMI_RANK`, `PMI_SIZE` | `MPI_LOCALRANKID`, `MPI_LOCALNRANKS` |
//! | Slurm's `srun` | `SLURM_PROCID`, `SLURM_NTASKS` | `SLURM_LOCALID`, `SLURM_STEP_TASKS_PER_NODE` |
//! | Slurm's job arrays | `SLURM_ARRAY_TASK_ID`, `_MIN`, `_MAX`, `_STEP`, `_COUNT` | |

use crate::{Error, Result};
use std::collections::BTreeMap;

/// Ranks have five digits in file names.
pub const MOST: u32 = 99_999;

/// A process and the number of those that share the work.
#[derive(Debug, Clone, PartialEq)]
pub struct Launched {
    /// From 0.
    pub rank: u32,
    pub world: u32,
    /// The variables that say so.
    pub source: &'static str,
}

/// A process among those of its machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Local {
    /// From 0.
    pub rank: usize,
    /// Processes on the machine, where the launcher says it.
    pub size: Option<usize>,
}

impl Local {
    /// This process's part of `all` devices of the machine. They are dealt in turn; where there are fewer than
    /// processes, several processes share one.
    pub fn share<T: Clone>(&self, all: &[T]) -> Vec<T> {
        let hands = self.size.unwrap_or(all.len()).min(all.len());
        let own = all.iter().enumerate().filter(|(device, _)| device % hands == self.rank % hands);
        own.map(|(_, device)| device.clone()).collect()
    }
}

/// Environment variables. An empty one counts as absent.
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The environment of this process.
    pub fn here() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self(std::env::vars_os().filter_map(text).collect())
    }

    /// Rank and number of ranks. An inner launcher comes before an outer one, whose variables its processes inherit.
    /// Errors: values that contradict each other or make no sense, by name.
    pub fn launched(&self) -> Result<Launched> {
        let launched = |(rank, world), source| Ok(Launched { rank, world, source });
        let step = self.slurm_step()?;
        let torch = self.get("RANK").is_some() && self.get("WORLD_SIZE").is_some();
        if torch && let Some(pair) = self.pair("RANK", "WORLD_SIZE")? {
            // RANK set once for the whole job, and every task would do the same share.
            if self.get("TORCHELASTIC_RUN_ID").is_none()
                && let Some(step) = step.filter(|step| step.1 == pair.1 && step.0 != pair.0)
            {
                let what = format!("RANK={} though SLURM_PROCID={}", pair.0, step.0);
                return Err(Error::usage(what, "unset RANK and WORLD_SIZE"));
            }
            return launched(pair, "RANK, WORLD_SIZE");
        }
        if let Some(pair) = self.pair("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE")? {
            return launched(pair, "OMPI_COMM_WORLD_RANK, OMPI_COMM_WORLD_SIZE");
        }
        // Slurm may set PMI_RANK too, but MPI_LOCALRANKID only MPICH and Intel MPI: in an array of jobs of one task each,
        // every PMI_RANK is 0.
        let hydra = self.get("MPI_LOCALRANKID").is_some();
        if hydra && let Some(pair) = self.pair("PMI_RANK", "PMI_SIZE")?.filter(|pair| pair.1 > 1) {
            return launched(pair, "PMI_RANK, PMI_SIZE");
        }
        match (self.slurm_array()?, step.filter(|step| step.1 > 1)) {
            (Some(array), Some(step)) => {
                let world = array.1.checked_mul(step.1).filter(|world| *world <= MOST).ok_or_else(|| {
                    let what = format!("SLURM_NTASKS={} in an array of {} jobs", step.1, array.1);
                    Error::usage(what, "use fewer")
                })?;
                launched((array.0 * step.1 + step.0, world), "SLURM_ARRAY_TASK_ID, SLURM_PROCID")
            }
            (Some(array), None) => launched(array, "SLURM_ARRAY_TASK_ID"),
            (None, Some(step)) => launched(step, "SLURM_PROCID, SLURM_NTASKS"),
            (None, None) => launched(self.pair("RANK", "WORLD_SIZE")?.unwrap_or((0, 1)), "one process"),
        }
    }

    /// This process's number on its machine, where a launcher says it.
    pub fn local(&self) -> Result<Option<Local>> {
        for (rank, size) in [
            ("LOCAL_RANK", "LOCAL_WORLD_SIZE"),
            ("OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"),
            ("MPI_LOCALRANKID", "MPI_LOCALNRANKS"),
        ] {
            if let Some(local) = self.number(rank)? {
                let size = self.number(size)?.filter(|size| *size > local);
                return Ok(Some(Local { rank: local as usize, size: size.map(|size| size as usize) }));
            }
        }
        let task = self.number("SLURM_LOCALID")?.filter(|_| self.get("SLURM_STEP_ID").is_some());
        let Some(local) = task else { return Ok(None) };
        Ok(Some(Local { rank: local as usize, size: self.slurm_tasks_here()? }))
    }

    /// Whether this process is one of several of an MPI job. Slurm may announce itself to every process that it starts;
    /// a single one has nobody to talk to.
    pub fn is_mpi_job(&self) -> Result<bool> {
        let several = |size| self.number(size).map(|size| size.is_some_and(|size| size > 1));
        let pmix = self.get("PMIX_RANK").is_some() && self.slurm_step()?.is_some_and(|step| step.1 > 1);
        Ok(pmix || several("OMPI_COMM_WORLD_SIZE")? || several("PMI_SIZE")?)
    }

    /// The device of `all` for a process that takes one. Errors: nothing says which.
    pub fn one_of<T: Clone>(&self, all: &[T]) -> Result<T> {
        let own = match (all, self.local()?) {
            ([only], _) => Some(only.clone()),
            (all, local) => local.and_then(|local| local.share(all).first().cloned()),
        };
        own.ok_or_else(|| {
            let what = "the launcher does not say which of the machine's processes this is";
            Error::usage(what, "set LOCAL_RANK to its number from 0, or name one device with --gpus")
        })
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    fn number(&self, name: &str) -> Result<Option<u32>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let number = value.parse::<u32>().ok().filter(|number| *number <= i32::MAX as u32);
        let wrong = || Error::usage(format!("{name}={value} is not a number from 0"), "correct it");
        number.map(Some).ok_or_else(wrong)
    }

    /// A rank and the number of ranks.
    fn pair(&self, rank: &str, world: &str) -> Result<Option<(u32, u32)>> {
        let what = match (self.number(rank)?, self.number(world)?) {
            (None, None) => return Ok(None),
            (Some(number), Some(size)) if number < size && size <= MOST => {
                return Ok(Some((number, size)));
            }
            (Some(number), Some(size)) => {
                let what =
                    format!("{rank}={number} with {world}={size}: not one of 1 to {MOST} ranks from 0");
                return Err(Error::usage(what, "correct them"));
            }
            (Some(_), None) => format!("{rank} is set, {world} is not"),
            (None, Some(_)) => format!("{world} is set, {rank} is not"),
        };
        Err(Error::usage(what, "set both or none"))
    }

    /// Task and tasks of a step that `srun` started. A batch script has a SLURM_PROCID as well, but is one process.
    fn slurm_step(&self) -> Result<Option<(u32, u32)>> {
        match self.get("SLURM_STEP_ID") {
            Some(_) => self.pair("SLURM_PROCID", "SLURM_NTASKS"),
            None => Ok(None),
        }
    }

    /// Place in a job array and number of its jobs.
    fn slurm_array(&self) -> Result<Option<(u32, u32)>> {
        let Some(id) = self.number("SLURM_ARRAY_TASK_ID")? else { return Ok(None) };
        let need = |name: &str| {
            self.number(name)?.ok_or_else(|| {
                Error::usage(format!("SLURM_ARRAY_TASK_ID is set, {name} is not"), "set all or none")
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
            return Err(Error::usage(what, "submit with --array=0-7 or the like"));
        }
        Ok(Some(((id - first) / step, count)))
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

    fn environment(variables: &str) -> Environment {
        let named = variables.split_whitespace().filter_map(|variable| variable.split_once('='));
        Environment(named.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// The second process of a machine with two, the fourth of four of the job, as each launcher describes it; the machine
    /// has four devices. MPICH's variables are those that mpiexec.hydra 4.0.2 sets, the others those of the manuals.
    #[test]
    fn each_launcher_gives_rank_and_device() {
        for (launcher, variables, shares) in [
            (
                "torchrun",
                "RANK=3 WORLD_SIZE=4 LOCAL_RANK=1 LOCAL_WORLD_SIZE=2 TORCHELASTIC_RUN_ID=none",
                "1,3",
            ),
            (
                "Open MPI",
                "OMPI_COMM_WORLD_RANK=3 OMPI_COMM_WORLD_SIZE=4 OMPI_COMM_WORLD_LOCAL_RANK=1 \
                 OMPI_COMM_WORLD_LOCAL_SIZE=2 OMPI_COMM_WORLD_NODE_RANK=1 PMIX_RANK=3",
                "1,3",
            ),
            ("MPICH", "PMI_RANK=3 PMI_SIZE=4 PMI_FD=9 MPI_LOCALRANKID=1 MPI_LOCALNRANKS=2", "1,3"),
            (
                "Intel MPI in a Slurm job",
                "PMI_RANK=3 PMI_SIZE=4 MPI_LOCALRANKID=1 MPI_LOCALNRANKS=2 I_MPI_INFO_NP=2 SLURM_STEP_ID=0 \
                 SLURM_PROCID=0 SLURM_NTASKS=1 SLURM_LOCALID=0",
                "1,3",
            ),
            (
                "srun --mpi=pmi2",
                "PMI_RANK=3 PMI_SIZE=4 SLURM_STEP_ID=0 SLURM_PROCID=3 SLURM_NTASKS=4 SLURM_LOCALID=1 SLURM_NODEID=1 \
                 SLURM_STEP_TASKS_PER_NODE=2(x2)",
                "1,3",
            ),
            (
                "srun --mpi=pmix",
                "PMIX_RANK=3 SLURM_STEP_ID=0 SLURM_PROCID=3 SLURM_NTASKS=4 SLURM_LOCALID=1 SLURM_NODEID=1 \
                 SLURM_STEP_TASKS_PER_NODE=2,2",
                "1,3",
            ),
            (
                "srun of a Slurm that does not say how many",
                "SLURM_STEP_ID=0 SLURM_PROCID=3 SLURM_NTASKS=4 SLURM_LOCALID=1",
                "1",
            ),
        ] {
            let environment = environment(variables);
            let found = environment.launched().unwrap();
            assert_eq!((found.rank, found.world), (3, 4), "{launcher}: {found:?}");
            let local = environment.local().unwrap().expect(launcher);
            assert_eq!(local.rank, 1, "{launcher}");
            assert_eq!(local.share(&["0", "1", "2", "3"]).join(","), shares, "{launcher}");
            assert_eq!(environment.one_of(&[0, 1, 2, 3]).unwrap(), 1, "{launcher}");
            assert_eq!(environment.one_of(&[7]).unwrap(), 7, "{launcher}");
            let mpi = launcher.contains("MPI") || launcher.contains("--mpi");
            assert_eq!(environment.is_mpi_job().unwrap(), mpi, "{launcher}");
        }
    }

    #[test]
    fn launchers() {
        let array =
            "SLURM_ARRAY_TASK_ID=1 SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_MAX=2 SLURM_ARRAY_TASK_COUNT=3";
        for (variables, rank, world) in [
            ("", 0, 1),
            ("SLURM_STEP_ID=0 SLURM_PROCID=3 SLURM_NTASKS=8", 3, 8),
            // A batch script that asked for tasks but is not a step: alone.
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
            (&format!("{array} SLURM_STEP_ID=0 SLURM_PROCID=1 SLURM_NTASKS=2"), 3, 6),
            // Every job of an array is an MPI job of one process for Slurm.
            (&format!("{array} PMI_RANK=0 PMI_SIZE=1 SLURM_STEP_ID=0 SLURM_PROCID=0 SLURM_NTASKS=1"), 1, 3),
        ] {
            let found = environment(variables).launched().unwrap();
            assert_eq!((found.rank, found.world), (rank, world), "{variables}");
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
            ("MPI_LOCALRANKID=0 PMI_RANK=1", "PMI_SIZE is not"),
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
            let error = environment(variables).launched().unwrap_err().to_string();
            assert!(error.contains(named) && error.contains("; "), "{variables}: {error}");
        }
    }

    #[test]
    fn devices_of_a_machine() {
        let step = "SLURM_STEP_ID=0 SLURM_PROCID=1 SLURM_NTASKS=7 SLURM_NODEID=3 SLURM_LOCALID=0";
        let four = ["0", "1", "2", "3"];
        for (variables, devices) in [
            ("LOCAL_RANK=2 RANK=2 WORLD_SIZE=4", "2"),
            ("OMPI_COMM_WORLD_LOCAL_RANK=1 OMPI_COMM_WORLD_LOCAL_SIZE=2", "1,3"),
            // More processes than devices.
            ("MPI_LOCALRANKID=5 MPI_LOCALNRANKS=8", "1"),
            (&format!("{step} SLURM_STEP_TASKS_PER_NODE=2(x3),1"), "0,1,2,3"),
            (&format!("{step} SLURM_STEP_TASKS_PER_NODE=2,1,2(x2)"), "0,2"),
        ] {
            let local = environment(variables).local().unwrap().expect(variables);
            assert_eq!(local.share(&four).join(","), devices, "{variables}");
        }
        // The number of a batch script, not of a task.
        for variables in ["", "SLURM_LOCALID=0"] {
            assert_eq!(environment(variables).local().unwrap(), None);
            let error = environment(variables).one_of(&four).unwrap_err().to_string();
            assert!(error.contains("LOCAL_RANK"), "{error}");
        }
    }
}
