//! What the command lines of all programs have in common: what `--version` says, and the manuals that a wheel brings.

use crate::{Result, atomic, libtorch};
use clap::error::ErrorKind;
use clap::{ArgMatches, Command, Parser};
use clap_complete::Shell;
use clap_mangen::Man;
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

/// The commit that the program calling this was built from, where the build was told one (`just wheel`).
#[macro_export]
macro_rules! commit {
    () => {
        option_env!("SIGNCLIP_COMMIT")
    };
}

/// With a folder behind it and nothing else: write the manuals there in place of doing the program's work.
const MANUALS: &str = "--write-manuals";

/// Read the command line: as the program wants it, and as clap gives it. `--version` names the `commit`, libtorch, and the
/// `libraries` that the program uses besides. Ends the program after an error, `--help` and `--version`.
pub fn read<P: Parser>(commit: Option<&str>, libraries: &[String]) -> (P, ArgMatches) {
    let mut command = P::command();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let [_, flag, folder] = &arguments[..]
        && flag == MANUALS
    {
        match write_manuals(command.clone(), Path::new(folder)) {
            Ok(()) => std::process::exit(0),
            Err(error) => end(&command.error(ErrorKind::Io, error)),
        }
    }
    let version = long_version(command.get_version().unwrap_or_default(), commit, libraries);
    let matches = command.long_version(version).try_get_matches_from(arguments).unwrap_or_else(|e| end(&e));
    let parsed = P::from_arg_matches(&matches).unwrap_or_else(|e| end(&e));
    (parsed, matches)
}

/// Print an error, help or version, and end the program at once: libtorch takes its tables of operators apart on the way
/// out, a quarter of the time of `--help`.
fn end(error: &clap::Error) -> ! {
    // There is nobody left to tell.
    let _ = error.print();
    let _ = std::io::stdout().flush();
    // SAFETY: ends the process; what was printed is flushed.
    #[allow(unsafe_code)]
    unsafe {
        libc::_exit(error.exit_code())
    }
}

/// A line for each part: this program, libtorch, other libraries.
fn long_version(version: &str, commit: Option<&str>, libraries: &[String]) -> String {
    let from = commit.map_or("built from source".to_owned(), |commit| format!("commit {commit}"));
    let torch = format!("libtorch {} in {}", libtorch::version(), libtorch::libraries().display());
    let lines = [format!("{version} ({from})"), torch];
    lines.iter().chain(libraries).map(String::as_str).collect::<Vec<_>>().join("\n")
}

/// Man pages (one for each subcommand, too) and completions for bash, zsh and fish, in `folder` as they lie below
/// `/usr/share`.
fn write_manuals(mut command: Command, folder: &Path) -> Result<()> {
    command.build();
    let name = command.get_name().to_owned();
    let write = |file: String, bytes: &[u8]| {
        let path = folder.join(file);
        let place = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(place).map_err(crate::Error::io(place))?;
        atomic::write(&path, bytes)
    };
    let pages = command.get_subcommands().filter(|part| part.get_name() != "help");
    for page in std::iter::once(&command).chain(pages) {
        let full = page.get_display_name().unwrap_or(&name).to_owned();
        let mut text = Vec::new();
        Man::new(page.clone()).render(&mut text).map_err(crate::Error::io(folder))?;
        write(format!("man/man1/{full}.1"), &text)?;
    }
    for (shell, file) in [
        (Shell::Bash, format!("bash-completion/completions/{name}")),
        (Shell::Zsh, format!("zsh/site-functions/_{name}")),
        (Shell::Fish, format!("fish/vendor_completions.d/{name}.fish")),
    ] {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut command, &name, &mut text);
        write(file, &text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_says_what_it_is_made_of() {
        let text = long_version("1.2.3", Some("0123abc"), &["FFmpeg 5".to_owned()]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!([lines[0], lines[2]], ["1.2.3 (commit 0123abc)", "FFmpeg 5"]);
        assert!(lines[1].starts_with("libtorch "), "{text}");
    }

    #[test]
    fn manuals_name_every_flag() {
        let folder = tempfile::tempdir().expect("a folder");
        let part = Command::new("status").arg(clap::Arg::new("json").long("json"));
        let flag = clap::Arg::new("depth").long("depth").help("How deep it goes");
        let command = Command::new("dig").version("1.2.3").arg(flag).subcommand(part);
        write_manuals(command, folder.path()).expect("written");
        let read = |file: &str| std::fs::read_to_string(folder.path().join(file)).expect("there");
        assert!(read("man/man1/dig.1").contains("How deep it goes"));
        assert!(read("man/man1/dig-status.1").contains("json"));
        for file in [
            "bash-completion/completions/dig",
            "zsh/site-functions/_dig",
            "fish/vendor_completions.d/dig.fish",
        ] {
            assert!(read(file).contains("depth"), "{file}");
        }
    }
}
