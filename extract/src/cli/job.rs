//! What the flags ask for, resolved before any clip is touched.

use crate::cli::args::RunArgs;
use crate::cli::like::Like;
use crate::recipe::Recipe;
use crate::run::plan::Plan;
use crate::run::rank::Rank;
use crate::streams::config::Network;
use crate::weights::sources::{Sources, Wanted};
use signclip_common::{Error, Result, devices};
use std::collections::BTreeMap;
use std::num::NonZero;
use tch::Device;

/// Every problem found, so that the user can fix them together.
pub type Problems = Vec<Error>;

/// A run that can begin.
pub struct Job {
    pub plan: Plan,
    pub rank: Rank,
    pub devices: Vec<Device>,
    pub recipe: Recipe,
    pub sources: Sources,
}

impl Job {
    /// Opens CUDA where it is asked to: no tensor may exist before.
    pub fn resolve(args: &RunArgs, like: Option<&Like>, plan: Result<Plan>) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        let plan = plan.map_err(|e| problems.push(e)).ok();
        let rank = Rank::find(args.shard.as_deref()).map_err(|e| problems.push(e)).ok();
        let devices = open_devices(args, rank.as_ref());
        let first = devices.as_ref().map_or(Device::Cpu, |devices| devices[0]);
        let squash = plan.as_ref().and_then(|plan| plan.dataset.spatial_squash);
        let found = recipe(args, like, squash, first);
        let found = found.and_then(|(recipe, wanted)| Ok((sources(args, &recipe, &wanted)?, recipe)));
        let found = found.map_err(|e| problems.extend(e)).ok();
        let devices = devices.map_err(|e| problems.push(e)).ok();
        match (plan, rank, devices, found) {
            (Some(plan), Some(rank), Some(devices), Some((sources, recipe))) => {
                Ok(Self { plan, rank, devices, recipe, sources })
            }
            _ => Err(problems),
        }
    }
}

/// The clips, read as the flags or the store to be like say.
pub fn plan(args: &RunArgs, like: Option<&Like>) -> Result<Plan> {
    let video = like.map_or_else(|| args.recipe.video(), |like| like.recipe.video);
    let mut plan = Plan::new(&args.selection, video)?;
    if let Some(like) = like {
        like.apply_to(&mut plan.dataset);
    }
    Ok(plan)
}

/// The recipe of the flags or of the store to be like, and the weights that it wants.
pub fn recipe(
    args: &RunArgs,
    like: Option<&Like>,
    squash: Option<(usize, usize)>,
    device: Device,
) -> Result<(Recipe, BTreeMap<Network, Wanted>), Problems> {
    let (recipe, wanted) = match like {
        Some(like) => (like.recipe.clone(), like.weights(&args.inputs).map_err(|e| vec![e])?),
        None => args.recipe.recipe(&args.inputs, squash, device)?,
    };
    Ok((recipe, wanted))
}

/// Where the weights of a recipe are. Errors: every file that is missing, and landmarks that the recipe wants or does not.
pub fn sources(
    args: &RunArgs,
    recipe: &Recipe,
    wanted: &BTreeMap<Network, Wanted>,
) -> Result<Sources, Problems> {
    let landmarks = args.inputs.check_landmarks(recipe, args.like.as_deref()).err();
    match (Sources::find(recipe, wanted, args.inputs.weights.as_deref()), landmarks) {
        (Ok(sources), None) => Ok(sources),
        (sources, landmarks) => Err(sources.err().unwrap_or_default().into_iter().chain(landmarks).collect()),
    }
}

/// The devices of this process, one for each thread that will serve: the CPU has as many as it has cores, each with clips
/// of its own, which keeps them busier than splitting every operation among them, and leaves each feature the same on any
/// number of cores.
fn open_devices(args: &RunArgs, rank: Option<&Rank>) -> Result<Vec<Device>> {
    let visible = || {
        let all = devices::default_list();
        rank.map_or(all.clone(), |rank| rank.devices(&all))
    };
    let mut devices = devices::open(&args.gpus.clone().unwrap_or_else(visible))?;
    tch::set_num_threads(1);
    let of_cpu = devices.iter().filter(|&&device| device == Device::Cpu).count();
    if of_cpu > 0 {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        devices.extend((of_cpu..cores).map(|_| Device::Cpu));
    }
    Ok(devices)
}
