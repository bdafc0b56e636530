//! `--like STORE`: features of other clips, made exactly as those of a store that is there.
//!
//! The store's description has the recipe. Weights that are not there any more, or are others by now, are refused by name.

use crate::cli::recipe_flags::{InputFlags, RecipeFlags, own_lips, published_lips};
use crate::recipe::Recipe;
use crate::streams::config::Network;
use crate::weights::sources::Wanted;
use clap::Args;
use signclip_common::manifest::Dataset;
use signclip_common::store::{STORE_FILE, StoreInfo};
use signclip_common::{Error, Result, difference};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// A store to be like.
pub struct Like {
    info: StoreInfo,
    file: PathBuf,
    pub recipe: Recipe,
}

/// Refuses flags of the recipe that were `given` (by their names in [`RecipeFlags`]) beside `--like`.
pub fn refuse_recipe_flags(given: impl Fn(&str) -> bool) -> Result<()> {
    let flags = RecipeFlags::augment_args(clap::Command::new(""));
    let beside = flags.get_arguments().filter(|flag| given(flag.get_id().as_str()));
    let beside: Vec<String> =
        beside.map(|flag| format!("--{}", flag.get_long().unwrap_or_default())).collect();
    if beside.is_empty() {
        return Ok(());
    }
    let flags = beside.join(" ");
    let what = format!("--like takes what decides the features from the store, {flags} would change it");
    Err(Error::usage(what, format!("leave out {flags}, or --like")))
}

impl Like {
    /// Reads the description of `folder`: a split's, or that of a data set, whose splits are all made alike.
    pub fn read(folder: &Path) -> Result<Self> {
        let mut folders = vec![folder.to_path_buf()];
        if !folder.join(STORE_FILE).is_file() {
            let entries = std::fs::read_dir(folder).map_err(Error::io(folder))?;
            let below = entries.flatten().map(|entry| entry.path());
            folders.extend(below.filter(|split| split.join(STORE_FILE).is_file()));
            folders[1..].sort();
        }
        let found = folders.get(1).unwrap_or(&folders[0]);
        let (info, file) = (StoreInfo::read(found)?, found.join(STORE_FILE));
        Ok(Self { recipe: Recipe::of_store(&info, &file)?, info, file })
    }

    /// The weights that the store was made with. A lip encoder that is not a published one is a file whose place the store
    /// does not know: it has to be named again.
    pub fn weights(&self, inputs: &InputFlags) -> Result<BTreeMap<Network, Wanted>> {
        let mut wanted = BTreeMap::new();
        let named = self
            .recipe
            .streams
            .iter()
            .flat_map(|(stream, made)| made.weights.iter().map(move |w| (stream, w)));
        for (stream, (name, identity)) in named {
            let network = network_of(name);
            let field = || format!("streams.{}.weights", stream.as_str());
            // Names lead to files below the weights folder.
            if !Path::new(name).components().all(|part| matches!(part, Component::Normal(_))) {
                let what = format!("{name:?} leads out of the weights folder");
                return Err(Error::input(&self.file, field(), what, "correct the store's description"));
            }
            let salt = identity.strip_prefix("salt 0x").and_then(|salt| u64::from_str_radix(salt, 16).ok());
            // Any other identity of computed weights is not one: the comparison with what is made names it.
            let salt = salt.or_else(|| name.ends_with(" (computed)").then_some(0));
            let source = match (salt, inputs.lip_encoder.as_deref().filter(|_| network == Network::AvHubert))
            {
                (Some(_), Some(which)) => {
                    let what = format!("--lip-encoder {which}: the store's lip encoder has computed weights");
                    return Err(Error::usage(what, "leave it out"));
                }
                (Some(salt), None) => Wanted::Computed(salt),
                (None, Some(which)) => match published_lips(which) {
                    Some((_, file)) => Wanted::Official(file.to_owned(), None),
                    None => Wanted::Own(own_lips(which)?),
                },
                (None, None) if network == Network::AvHubert && !name.contains('/') => {
                    let what = format!("the store was made with a lip encoder of your own, {name}");
                    return Err(Error::input(&self.file, field(), what, "name it: --lip-encoder FILE"));
                }
                (None, None) => Wanted::Official(name.clone(), None),
            };
            wanted.insert(network, source);
        }
        Ok(wanted)
    }

    /// Sets what the store took from its data set besides its recipe: how sentences are prepared.
    pub fn apply_to(&self, dataset: &mut Dataset) {
        dataset.text = self.info.text;
        dataset.language = dataset.language.take().or_else(|| self.info.language.clone());
    }

    /// Refuses features that would not be like those of the store; names the first difference.
    pub fn check(&self, made: &StoreInfo) -> Result<()> {
        difference::first(&self.info.making(), &made.making()).map_or(Ok(()), |(field, there, here)| {
            let what = format!("the store has {there}, here it would be {here}");
            let remedy = "give the weights that the store was made with (--weights DIR, and --lip-encoder FILE where it \
                          had one), or extract the data set again with these";
            Err(Error::input(&self.file, field, what, remedy))
        })
    }
}

/// The network that a store's name of its weights is of.
fn network_of(name: &str) -> Network {
    let begins = [
        ("clip-vit-large-patch14/", Network::Clip),
        ("videomae-large/", Network::VideoMae),
        ("retinaface/", Network::RetinaFace),
        ("fan/", Network::Fan),
    ];
    let computed = [Network::Clip, Network::VideoMae, Network::RetinaFace, Network::Fan];
    let by_file = begins.into_iter().find(|(begin, _)| name.starts_with(begin)).map(|(_, network)| network);
    let by_name = || computed.into_iter().find(|network| name.split(' ').next() == Some(network.name()));
    by_file.or_else(by_name).unwrap_or(Network::AvHubert)
}
