//! The one error type of the libraries: every message is a single line that names the file, the place in it and
//! what to do.

use crate::regular_file::Refusal;
use std::path::{Path, PathBuf};

/// What went wrong, and where.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused: missing file, permission, full disk.
    #[error("{}", one_line(&format!("{}: {source}; {}", .file.display(), remedy(.source))))]
    Io { file: PathBuf, source: std::io::Error },
    /// A file's content cannot be used. `place` is a line, field, key or time inside the file (may be empty).
    #[error("{}", one_line(&input_message(.file, .place, .what, .remedy)))]
    Input { file: PathBuf, place: String, what: String, remedy: String },
    /// A flag, a field or an environment that cannot be worked with, apart from any file.
    #[error("{}", one_line(&format!("{what}; {remedy}")))]
    Usage { what: String, remedy: String },
    /// Another device of the same run has stopped; what happened there is the error to look at.
    #[error("{}; run the same command to resume", one_line(.0))]
    Peer(String),
    /// libtorch refused an operation; the C++ backtrace is cut off.
    #[error("libtorch: {0}")]
    Torch(String),
    /// A panic of ours. `place`: file and line in the source.
    #[error("{}", one_line(&format!("a bug of signclip in {place}: {what}; please report it with the command")))]
    Bug { what: String, place: String },
}

/// Result of the libraries.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An unusable content of `file` at `place` (may be empty): what is wrong, and the remedy.
    pub fn input(
        file: impl AsRef<Path>,
        place: impl Into<String>,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::Input {
            file: file.as_ref().to_path_buf(),
            place: place.into(),
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    /// A request that cannot be met, and the remedy.
    pub fn usage(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Usage { what: what.into(), remedy: remedy.into() }
    }

    /// An operating-system error at `file`, for `map_err`.
    pub fn io(file: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let file = file.as_ref().to_path_buf();
        move |source| Self::Io { file, source }
    }
}

fn input_message(file: &Path, place: &str, what: &str, remedy: &str) -> String {
    let comma = if place.is_empty() { "" } else { ", " };
    format!("{}{comma}{place}: {what}; {remedy}", file.display())
}

/// What to do about an error of the operating system, or a refusal of [`crate::regular_file`].
fn remedy(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind;
    if let Some(refusal) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
        return match refusal {
            Refusal::NotRegular(_) => "give a file on a disk",
            Refusal::TooLarge(_) => "check that it is the right file",
            Refusal::Link => "remove the link, or move the whole folder and link that",
        };
    }
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE) => return "too many files are open: raise the limit (ulimit -n)",
        Some(libc::ENOMEM) => return "free some memory, or raise the limit (ulimit -v)",
        Some(libc::EAGAIN) => return "too many threads or processes: raise the limit (ulimit -u)",
        Some(libc::ELOOP) => return "its symbolic links lead in a circle: give another path",
        Some(libc::ETXTBSY) => return "wait until the program that writes it has ended",
        // The memory that was to be written is a map of a file that has become shorter.
        Some(libc::EFAULT) => {
            return "a file that is read meanwhile became shorter: copy or make it again, then run the same command again";
        }
        Some(libc::ESTALE) => return "the file server has replaced it: run the same command again",
        _ => {}
    }
    match error.kind() {
        ErrorKind::NotFound => "check the path",
        ErrorKind::PermissionDenied => "check the permissions",
        ErrorKind::ReadOnlyFilesystem => "nothing can be written there: give another folder",
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
            "a file is where a folder should be; give another path"
        }
        ErrorKind::DirectoryNotEmpty => "empty the folder, or give another one",
        ErrorKind::InvalidFilename => "give a shorter name",
        ErrorKind::IsADirectory => "a folder is where a file should be; give another path",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            "make room and run the same command again"
        }
        ErrorKind::InvalidData => "the file must be UTF-8 text",
        _ => "check the disk and the network it may be on",
    }
}

/// File names and quoted content may hold line ends; a message must not.
fn one_line(message: &str) -> String {
    message.replace(char::is_control, " ")
}

/// What is wrong with one line of JSON. The parser's own "line 1" would contradict the line of the whole file.
pub(crate) fn json_line(error: &serde_json::Error) -> String {
    error.to_string().replace(" at line 1 column ", ", column ")
}

impl From<tch::TchError> for Error {
    fn from(error: tch::TchError) -> Self {
        // libtorch appends a C++ backtrace of some twenty lines; the first line says it all.
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        tracing::debug!("{text}");
        Self::Torch(first.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Error as SystemError;

    #[test]
    fn each_refusal_of_the_system_has_its_remedy() {
        for (code, part) in [
            (libc::ENOENT, "check the path"),
            (libc::EACCES, "permissions"),
            (libc::EPERM, "permissions"),
            (libc::EROFS, "another folder"),
            (libc::ENOTDIR, "a file is where a folder should be"),
            (libc::EISDIR, "a folder is where a file should be"),
            (libc::ENOTEMPTY, "empty the folder"),
            (libc::ENOSPC, "make room"),
            (libc::EDQUOT, "make room"),
            (libc::EFBIG, "make room"),
            (libc::EMFILE, "ulimit -n"),
            (libc::ENFILE, "ulimit -n"),
            (libc::EAGAIN, "ulimit -u"),
            (libc::ENOMEM, "memory"),
            (libc::ENAMETOOLONG, "shorter name"),
            (libc::ELOOP, "symbolic links"),
            (libc::ETXTBSY, "wait"),
            (libc::ESTALE, "run the same command again"),
            (libc::EIO, "check the disk"),
            (libc::EFAULT, "run the same command again"),
        ] {
            let system = SystemError::from_raw_os_error(code);
            assert!(remedy(&system).contains(part), "{code}: {}", remedy(&system));
            let error = Error::io("a/b")(system).to_string();
            assert!(error.starts_with("a/b: ") && error.contains(part), "{code}: {error}");
        }
    }
}
