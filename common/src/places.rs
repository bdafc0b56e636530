//! Where data, weights and manifests are looked for.

use signclip_common::{Error, Result};
use std::path::{Path, PathBuf};

/// The data set's folder: `--root`, else `$SIGNCLIP_DATA/<name>`, else `data/<name>`; the first that exists.
pub fn data_root(given: Option<&Path>, name: &str) -> Result<PathBuf> {
    look("data", given, "SIGNCLIP_DATA", Some(name), "--root").map_err(|looked| {
        Error::usage(
            format!("the data set {name} was not found; looked at {looked}"),
            "give its folder with --root DIR (see README, \"Data\")",
        )
    })
}

/// The folder of weight files: `--weights`, else `$SIGNCLIP_WEIGHTS`, else `weights/`.
pub fn weights_root(given: Option<&Path>) -> Result<PathBuf> {
    look("weights", given, "SIGNCLIP_WEIGHTS", None, "--weights").map_err(|looked| {
        Error::usage(
            format!("no folder with weight files; looked at {looked}"),
            "download them (README, \"Weights\") and give the folder with --weights DIR",
        )
    })
}

/// The folder with manifests: `manifests/` here, else the one beside the programs' build folder.
pub fn manifests() -> PathBuf {
    let here = PathBuf::from("manifests");
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.ancestors().nth(3)?.join("manifests")));
    match beside {
        Some(beside) if !here.is_dir() && beside.is_dir() => beside,
        _ => here,
    }
}

fn look(
    fallback: &str,
    given: Option<&Path>,
    variable: &str,
    name: Option<&str>,
    flag: &str,
) -> Result<PathBuf, String> {
    let below = |base: PathBuf| name.map_or(base.clone(), |n| base.join(n));
    if let Some(given) = given {
        return if given.is_dir() { Ok(given.into()) } else { Err(format!("{} ({flag})", given.display())) };
    }
    let variable_value = std::env::var_os(variable).map(|v| below(v.into()));
    let fallback = below(fallback.into());
    let unset = variable_value.is_none().then(|| format!("${variable} (not set)"));
    let places: Vec<PathBuf> = variable_value.into_iter().chain([fallback]).collect();
    if let Some(found) = places.iter().find(|p| p.is_dir()) {
        return Ok(found.clone());
    }
    let looked = unset.into_iter().chain(places.iter().map(|p| p.display().to_string()));
    Err(looked.collect::<Vec<_>>().join(", "))
}
