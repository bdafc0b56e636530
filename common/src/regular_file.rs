//! Opening files: only regular ones, and never more of them than a file of their kind has.
//!
//! A named pipe would keep a program waiting for ever, `/dev/zero` would fill its memory. Where this program writes, a
//! symbolic link could lead its writing elsewhere. Everything in this project that opens a file goes through here
//! (`clippy.toml` sees to it).

#![expect(clippy::disallowed_methods, reason = "this is the one place")]

use std::fs::{File, Metadata, OpenOptions};
use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// The most bytes of a file of settings: configurations, descriptions, tokenizers, results.
pub const SETTINGS: u64 = 64 << 20;
/// The most bytes of a file with a line for each clip, step or sentence: more than a million lines.
pub const LINES: u64 = 1 << 30;
/// The most bytes of one picture: 8192x8192 pixels with alpha in 16 bits, not compressed, and some more.
pub const PICTURE: u64 = 640 << 20;

/// Why a file is not opened although the system would.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("it is {0}, not a regular file")]
    NotRegular(&'static str),
    #[error("it has more than {} MiB, the most that is read of such a file", .0 >> 20)]
    TooLarge(u64),
    #[error("it is a symbolic link, where this program writes")]
    Link,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::new(ErrorKind::InvalidInput, refusal)
    }
}

/// Open for reading. Errors: a pipe, socket or device; a folder.
pub fn open(path: &Path) -> Result<File> {
    check(&std::fs::metadata(path)?)?;
    opened(OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path))
}

/// Open for writing at the end, and make the file where there is none. Errors, besides those of [`open`]: a link.
pub fn append(path: &Path) -> Result<File> {
    write(path, OpenOptions::new().append(true).create(true))
}

/// Open for reading and writing. Errors: those of [`append`]; there is no such file.
pub fn edit(path: &Path) -> Result<File> {
    write(path, OpenOptions::new().read(true).write(true))
}

/// Like [`edit`], and make the file where there is none. What is in it stays.
pub fn create(path: &Path) -> Result<File> {
    write(path, OpenOptions::new().read(true).write(true).create(true).truncate(false))
}

/// Make a new file. Errors: there is something of this name.
pub fn create_new(path: &Path) -> Result<File> {
    write(path, OpenOptions::new().write(true).create_new(true))
}

/// Refuse a link at `path`, which is about to be replaced or removed.
pub fn refuse_link(path: &Path) -> Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => Err(Refusal::Link.into()),
        _ => Ok(()),
    }
}

/// All bytes. Errors, besides those of [`open`]: more than `limit` bytes.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    read_from(path, 0, limit)
}

/// The bytes from `begin` on. Errors: those of [`read`].
pub fn read_from(path: &Path, begin: u64, limit: u64) -> Result<Vec<u8>> {
    let mut file = open(path)?;
    let length = file.metadata()?.len();
    if length > limit {
        return Err(Refusal::TooLarge(limit).into());
    }
    file.seek(SeekFrom::Start(begin))?;
    let mut bytes = Vec::with_capacity(length.saturating_sub(begin) as usize);
    // It may grow meanwhile.
    if file.take(limit + 1).read_to_end(&mut bytes)? as u64 > limit {
        return Err(Refusal::TooLarge(limit).into());
    }
    Ok(bytes)
}

/// All of a UTF-8 text. Errors: those of [`read`]; other bytes.
pub fn read_to_string(path: &Path, limit: u64) -> Result<String> {
    String::from_utf8(read(path, limit)?).map_err(|e| Error::new(ErrorKind::InvalidData, e.utf8_error()))
}

/// Make what was added to or renamed in `folder` survive a power cut.
pub fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder)?.sync_all()
}

fn write(path: &Path, options: &mut OpenOptions) -> Result<File> {
    match options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path) {
        Err(e) if e.raw_os_error() == Some(libc::ELOOP) => Err(Refusal::Link.into()),
        // A pipe that nobody reads, or a socket.
        Err(e) if e.raw_os_error() == Some(libc::ENXIO) => {
            check(&std::fs::symlink_metadata(path)?)?;
            Err(e)
        }
        result => opened(result),
    }
}

/// What was looked at may have been replaced before it was opened.
fn opened(file: Result<File>) -> Result<File> {
    let file = file?;
    check(&file.metadata()?)?;
    Ok(file)
}

fn check(metadata: &Metadata) -> Result<()> {
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    let what = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_fifo() => "a named pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    Err(Refusal::NotRegular(what).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;

    #[test]
    fn only_regular_files_are_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let _socket = UnixListener::bind(path("socket")).expect("a socket");
        let made = std::process::Command::new("mkfifo").arg(path("pipe")).status().expect("mkfifo");
        assert!(made.success());
        std::fs::write(path("file"), "text").expect("written");
        symlink(path("file"), path("link")).expect("a link");
        symlink(path("nowhere"), path("dangling")).expect("a link");
        assert_eq!(read_to_string(&path("link"), 4).expect("a link may be read"), "text");

        let error = |result: Result<File>| result.expect_err("opened").to_string();
        let device = PathBuf::from("/dev/zero");
        for (path, what) in
            [(path("socket"), "a socket"), (path("pipe"), "a named pipe"), (device, "a device")]
        {
            for result in [open(&path), append(&path), edit(&path), create(&path)] {
                let error = error(result);
                assert!(error.contains(what), "{}: {error}", path.display());
            }
        }
        for name in ["link", "dangling"] {
            for result in [append(&path(name)), edit(&path(name)), create(&path(name))] {
                assert!(error(result).contains("a symbolic link"), "{name}");
            }
        }
        assert_eq!(edit(&path("nowhere")).expect_err("opened").kind(), ErrorKind::NotFound);
        assert!(!path("nowhere").exists());
        for name in ["file", "link", "dangling", "pipe"] {
            let error = create_new(&path(name)).expect_err("made");
            assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{name}");
        }
        assert_eq!(open(folder.path()).expect_err("opened").kind(), ErrorKind::IsADirectory);
    }

    #[test]
    fn no_more_is_read_than_allowed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, "text").expect("written");
        assert!(read(&path, 3).expect_err("read").to_string().contains("more than 0 MiB"));
        // It takes no room on the disk.
        File::options().write(true).open(&path).expect("opened").set_len(100 << 30).expect("enlarged");
        assert!(read(&path, LINES).expect_err("read").to_string().contains("more than 1024 MiB"));
        assert!(read(Path::new("/proc/cpuinfo"), 10).is_err(), "its length is said to be 0");
        std::fs::write(&path, [b'a', 0xff]).expect("written");
        assert_eq!(read_to_string(&path, 9).expect_err("read").kind(), ErrorKind::InvalidData);
    }
}
