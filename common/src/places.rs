//! Where data sets and weights are looked for: where a flag says, else where an environment variable says, else here.

use crate::{Error, Result, tensor_file};
use std::path::{Path, PathBuf};

/// The data set's folder: `--root`, else `$SIGNCLIP_DATA/<name>`, else `data/<name>`; the first that exists.
pub fn data_root(given: Option<&Path>, name: &str) -> Result<PathBuf> {
    DATA.find(given, Some(name)).map_err(|looked| {
        Error::usage(
            format!("the data set {name} was not found; looked at {looked}"),
            "give its folder with --root DIR (docs/data-sets.md)",
        )
    })
}

/// The folder of weight files: `--weights`, else `$SIGNCLIP_WEIGHTS`, else `weights/`; the first that exists.
pub fn weights_root(given: Option<&Path>) -> Result<PathBuf> {
    WEIGHTS.find(given, None).map_err(|looked| {
        Error::usage(
            format!("no folder with weight files; looked at {looked}"),
            "download them (docs/weights.md) and give the folder with --weights DIR",
        )
    })
}

/// The folders that [`weights_root`] looks for.
pub fn weights_folders(given: Option<&Path>) -> Vec<PathBuf> {
    WEIGHTS.candidates(given, None)
}

/// The folders that data sets are looked for in, each in a folder of its name, where no flag gives one.
pub fn data_folders() -> Vec<PathBuf> {
    DATA.candidates(None, None)
}

/// For people: folders in the order in which they are looked at.
pub fn looked_at(folders: &[PathBuf]) -> String {
    let state = |folder: &PathBuf| {
        let there = if folder.is_dir() { "" } else { " (not there)" };
        format!("{}{there}", std::path::absolute(folder).unwrap_or_else(|_| folder.clone()).display())
    };
    folders.iter().map(state).collect::<Vec<_>>().join(", then ")
}

/// How a weight file is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Original,
    /// What `extract convert` made of it.
    Converted,
    /// PyTorch's own file, which a clone of a hub may have in its place.
    Torch,
}

/// `file` of the weights folder `root`, in whatever form it is there: its path below `root`.
pub fn weight_file(root: &Path, file: &str) -> Option<(PathBuf, Form)> {
    let file = Path::new(file);
    let checkpoint = file.extension().is_some_and(|ending| ending == "pt" || ending == "pth");
    let forms = [
        (Some(file.to_path_buf()), Form::Original),
        (checkpoint.then(|| file.with_extension("safetensors")), Form::Converted),
        (tensor_file::in_place_of(file), Form::Torch),
    ];
    let mut forms = forms.into_iter().filter_map(|(file, form)| Some((file?, form)));
    forms.find(|(file, _)| root.join(file).exists())
}

/// A folder that the user may name.
struct Place {
    flag: &'static str,
    variable: &'static str,
    here: &'static str,
}

const DATA: Place = Place { flag: "--root", variable: "SIGNCLIP_DATA", here: "data" };
const WEIGHTS: Place = Place { flag: "--weights", variable: "SIGNCLIP_WEIGHTS", here: "weights" };

impl Place {
    /// The folder that the flag gives; else that of the variable and the one here, with `name` below them.
    fn candidates(&self, given: Option<&Path>, name: Option<&str>) -> Vec<PathBuf> {
        if let Some(given) = given {
            return vec![given.to_path_buf()];
        }
        let bases = std::env::var_os(self.variable).map(PathBuf::from).into_iter().chain([self.here.into()]);
        bases.map(|base| name.map_or(base.clone(), |name| base.join(name))).collect()
    }

    /// The first candidate that exists. Errors: where it was looked for.
    fn find(&self, given: Option<&Path>, name: Option<&str>) -> Result<PathBuf, String> {
        let candidates = self.candidates(given, name);
        if let Some(found) = candidates.iter().find(|place| place.is_dir()) {
            return Ok(found.clone());
        }
        let looked =
            candidates.iter().map(|place| place.display().to_string()).collect::<Vec<_>>().join(", ");
        Err(match (given, std::env::var_os(self.variable)) {
            (Some(_), _) => format!("{looked} ({})", self.flag),
            (None, Some(_)) => looked,
            (None, None) => format!("${} (not set), {looked}", self.variable),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_file_is_found_in_each_form() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str| std::fs::write(root.path().join(name), "").unwrap();
        let find = |file: &str| weight_file(root.path(), file);
        for (file, other, form) in [
            ("large.pt", "large.safetensors", Form::Converted),
            ("model.safetensors", "pytorch_model.bin", Form::Torch),
        ] {
            assert_eq!(find(file), None);
            write(other);
            assert_eq!(find(file), Some((other.into(), form)));
            write(file);
            assert_eq!(find(file), Some((file.into(), Form::Original)));
        }
    }

    #[test]
    fn a_flag_is_the_only_place() {
        assert_eq!(weights_folders(Some(Path::new("there"))), [Path::new("there")]);
        assert_eq!(weights_folders(None).last().unwrap(), Path::new("weights"));
    }
}
