//! `extract fetch`: weight files from their official addresses, or from a mirror.

#![allow(clippy::print_stdout)]

use crate::weights::download::Download;
use crate::weights::listed::{WeightFile, WeightManifest, look, look_at};
use clap::Args;
use signclip_common::manifests::Manifests;
use signclip_common::progress::start_log;
use signclip_common::{Error, Result, places};
use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct FetchArgs {
    /// Files, or folders of them, as `extract doctor` lists them [default: all that are needed without a flag]
    #[arg(value_name = "FILE")]
    names: Vec<String>,
    /// Folder for the weight files [default: $SIGNCLIP_WEIGHTS, else weights/]
    #[arg(long, value_name = "DIR")]
    weights: Option<PathBuf>,
    /// A mirror that has the files by the same paths, in place of the official addresses
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    /// Accept the licences that have to be accepted (AV-HuBERT), which are named without this
    #[arg(long)]
    accept_licence: bool,
}

/// Download what is missing, one file after the other. A file gets its name when it is complete and right.
pub fn run(args: &FetchArgs) -> Result<ExitCode> {
    start_log(None)?;
    let table: WeightManifest = Manifests::here()?.read("weights")?;
    let wanted = wanted(&table.files, &args.names)?;
    let root = places::weights_folders(args.weights.as_deref()).remove(0);
    let mut missing = Vec::new();
    for file in wanted {
        match look(&root, file)? {
            ("missing", _) => missing.push(file),
            ("present" | "converted", _) => println!("{:<13} {}", "there", file.path),
            (state, detail) => {
                let remedy = "delete it, and run the same command again";
                return Err(Error::input(root.join(&file.path), "", format!("{state}: {detail}"), remedy));
            }
        }
    }
    agree(&missing, args.accept_licence)?;
    for file in missing {
        let detail = fetch(file, &root, args.from.as_deref())?;
        println!("{:<13} {} {detail}", "fetched", file.path);
    }
    Ok(ExitCode::SUCCESS)
}

/// The files that `names` begin with, or all that are not optional.
fn wanted<'a>(files: &'a [WeightFile], names: &[String]) -> Result<Vec<&'a WeightFile>> {
    let named = |file: &WeightFile, name: &String| Path::new(&file.path).starts_with(name);
    if let Some(unknown) = names.iter().find(|name| !files.iter().any(|file| named(file, name))) {
        let known: BTreeSet<&str> = files.iter().filter_map(|file| file.path.split('/').next()).collect();
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        return Err(Error::usage(
            format!("no weight file is called {unknown}"),
            format!("known folders: {known}"),
        ));
    }
    let chosen = |file: &&WeightFile| match names {
        [] => !file.optional,
        names => names.iter().any(|name| named(file, name)),
    };
    Ok(files.iter().filter(chosen).collect())
}

/// Ask for the licences that have to be accepted. Errors: one is not; there is nobody to ask.
fn agree(files: &[&WeightFile], accepted: bool) -> Result<()> {
    let licences: BTreeSet<_> =
        files.iter().filter_map(|file| Some((file.agreement.as_deref()?, file.licence.as_str()))).collect();
    for (page, licence) in licences {
        if accepted {
            continue;
        }
        let refused = || {
            Error::usage(
                format!("{licence}, at {page}, is not accepted"),
                "read it, and add --accept-licence",
            )
        };
        if !std::io::stdin().is_terminal() {
            return Err(refused());
        }
        print!("{licence}\n{page}\nDo you accept it? (yes/no) ");
        let mut answer = String::new();
        let asked = std::io::stdout().flush().and_then(|()| std::io::stdin().read_line(&mut answer));
        asked.map_err(Error::io("the terminal"))?;
        if answer.trim() != "yes" {
            return Err(refused());
        }
    }
    Ok(())
}

/// Download `file` below `root`; what else there is to say of it.
fn fetch(file: &WeightFile, root: &Path, mirror: Option<&str>) -> Result<String> {
    let inside = Path::new(&file.path).components().all(|part| matches!(part, Component::Normal(_)));
    let (path, Some(name)) = (root.join(&file.path), Path::new(&file.path).file_name().filter(|_| inside))
    else {
        return Err(Error::usage(
            format!("the weight file {} lies outside of its folder", file.path),
            "correct the manifest",
        ));
    };
    let url = match (mirror, &file.url) {
        (Some(mirror), _) => format!("{}/{}", mirror.trim_end_matches('/'), file.path),
        (None, Some(url)) => url.clone(),
        (None, None) => {
            let what = format!("{} has no address to be downloaded from", file.path);
            return Err(Error::usage(what, format!("see {}, or name a mirror with --from URL", file.source)));
        }
    };
    let part = path.with_file_name(format!(".fetch-{}", name.to_string_lossy()));
    let download = Download { url: &url, part: &part, bytes: file.bytes, checked: file.sha256.is_some() };
    loop {
        let resumed = download.run()?;
        match look_at(&part, file)? {
            ("present", detail) => {
                download.keep(&path)?;
                return Ok(detail);
            }
            // An older part may be of another version.
            (state, _) if resumed => {
                tracing::warn!("{}: {state} after resuming; trying again from the beginning", file.path);
                download.discard();
            }
            (state, detail) => {
                download.discard();
                let remedy = "nothing was kept; name a mirror with --from URL, or report it";
                return Err(Error::usage(format!("{url}: {state}: {detail}"), remedy));
            }
        }
    }
}
