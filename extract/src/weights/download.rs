//! One file over HTTP: what has arrived stays on the disk, and the next request asks for the rest.

use signclip_common::progress::Progress;
use signclip_common::regular_file::{self, SETTINGS};
use signclip_common::{Error, Result, atomic};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::Agent;
use ureq::http::{HeaderMap, Response};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

/// The longest answer to a failed request that is waited for, and the longest silence in the middle of a file.
const SILENCE: Duration = Duration::from_secs(60);
/// Requests in a row that bring nothing, until it is given up.
const ATTEMPTS: usize = 5;
const PAUSE: Duration = Duration::from_secs(1);
/// The most bytes of a file of unknown size: more than any file of weights has.
const LARGEST: u64 = 64 << 30;

/// Where a file comes from, and where its parts gather.
pub struct Download<'a> {
    pub url: &'a str,
    /// Where it grows. Its validator (ETag) is beside it.
    pub part: &'a Path,
    /// Its size, where it is known.
    pub bytes: Option<u64>,
    /// Whether its content will be compared with a checksum: then parts of two versions cannot stay unnoticed.
    pub checked: bool,
}

/// Why a request ended before the file was complete.
enum Failure {
    /// Worth another request.
    Broken(String),
    Final(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

impl Download<'_> {
    /// Get the file, from where an earlier call stopped. Whether bytes of an earlier call are in it. Errors: the server
    /// refuses or does not answer; it has a file of another size; five requests in a row brought nothing.
    pub fn run(&self) -> Result<bool> {
        if let Some(folder) = self.part.parent() {
            fs::create_dir_all(folder).map_err(Error::io(folder))?;
        }
        let mut file = regular_file::create(self.part).map_err(Error::io(self.part))?;
        if file.try_lock().is_err() {
            return Err(self.error("another process is downloading it", "wait for it, or stop it"));
        }
        let begun = self.length(&file)?;
        let agent = agent(self.url)?;
        let progress = Progress::new(&name(self.part), self.bytes.unwrap_or(0) >> 20, "MiB");
        let (mut failed, mut most) = (0, begun);
        loop {
            let reason = match self.request(&agent, &mut file, &progress) {
                Ok(()) => break,
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Broken(reason)) => reason,
            };
            let length = self.length(&file)?;
            failed = if length > most { 0 } else { failed + 1 };
            most = most.max(length);
            if failed == ATTEMPTS {
                let remedy = "run the same command again to resume, or name a mirror with --from URL";
                return Err(self.error(&reason, remedy));
            }
            tracing::warn!("{}: {reason}; trying again from byte {length}", self.url);
            std::thread::sleep(PAUSE);
        }
        progress.finish();
        file.sync_all().map_err(Error::io(self.part))?;
        Ok(begun > 0)
    }

    /// Forget what has arrived.
    pub fn discard(&self) {
        for path in [self.part.to_path_buf(), self.validator()] {
            // What cannot be removed is noticed by the next download.
            let _ = fs::remove_file(path);
        }
    }

    /// Give the file its name. It must be complete and right.
    pub fn keep(&self, path: &Path) -> Result<()> {
        fs::rename(self.part, path).map_err(Error::io(path))?;
        atomic::sync_folder(path).map_err(Error::io(path))?;
        self.discard();
        Ok(())
    }

    /// One request for what is missing.
    fn request(&self, agent: &Agent, file: &mut File, progress: &Progress) -> Result<(), Failure> {
        let mut begin = self.length(file)?;
        let validator = regular_file::read_to_string(&self.validator(), 1024).ok();
        if (begin > 0 && validator.is_none() && !self.checked)
            || self.bytes.is_some_and(|bytes| begin > bytes)
        {
            begin = self.empty(file)?;
        }
        if self.bytes == Some(begin) {
            return Ok(());
        }
        let mut request = agent.get(self.url);
        if begin > 0 {
            request = request.header("Range", format!("bytes={begin}-"));
            if let Some(validator) = &validator {
                request = request.header("If-Range", validator);
            }
        }
        let response = request.call().map_err(|e| self.reason(e))?;
        let total = match (response.status().as_u16(), range(response.headers())) {
            (206, Some((first, total))) if first == begin => total,
            // The server sends all of it: it has no ranges, or another version by now.
            (200, _) => {
                begin = self.empty(file)?;
                response.body().content_length()
            }
            // What is here is not a beginning of what is there.
            (206 | 416, _) if begin > 0 => {
                self.empty(file)?;
                return Err(Failure::Broken("the server does not continue the file".to_owned()));
            }
            (408 | 429 | 500.., _) => {
                return Err(Failure::Broken(format!("the server says {}", response.status())));
            }
            _ => {
                let what = format!("the server says {}", response.status());
                return Err(self
                    .error(&what, "look at the page of the weights, or name a mirror with --from URL")
                    .into());
            }
        };
        if let (Some(bytes), Some(total)) = (self.bytes, total)
            && bytes != total
        {
            let what = format!("the server has a file of {total} bytes where {bytes} are expected");
            return Err(self.error(&what, "name a mirror with --from URL").into());
        }
        self.remember(&response)?;
        self.receive(response, file, begin, self.bytes.or(total), progress)
    }

    /// Append the body to the file.
    fn receive(
        &self,
        response: Response<ureq::Body>,
        file: &mut File,
        begin: u64,
        total: Option<u64>,
        progress: &Progress,
    ) -> Result<(), Failure> {
        let io = |e| Failure::Final(Error::io(self.part)(e));
        file.seek(SeekFrom::Start(begin)).map_err(io)?;
        let mut body = response.into_body().into_with_config().limit(u64::MAX).reader();
        let (mut length, mut buffer) = (begin, vec![0; 1 << 20]);
        loop {
            let n = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(Failure::Broken(format!("the connection broke ({e})"))),
            };
            length += n as u64;
            if length > total.unwrap_or(LARGEST) {
                self.empty(file)?;
                return Err(self
                    .error("the server sends more than it has said", "name a mirror with --from URL")
                    .into());
            }
            file.write_all(&buffer[..n]).map_err(io)?;
            progress.advance((length >> 20).saturating_sub(progress.done()), String::new);
        }
        match total {
            Some(total) if length < total => {
                Err(Failure::Broken(format!("it ended after {length} of {total} bytes")))
            }
            _ => Ok(()),
        }
    }

    /// Keep the validator of what arrives now, so that a later request does not continue another version.
    fn remember(&self, response: &Response<ureq::Body>) -> Result<()> {
        let tag = response.headers().get("etag").and_then(|tag| tag.to_str().ok());
        let (path, strong) = (self.validator(), tag.filter(|tag| tag.starts_with('"')));
        match strong {
            Some(tag) => atomic::write(&path, tag.as_bytes()),
            None => match fs::remove_file(&path) {
                Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io(&path)(e)),
                _ => Ok(()),
            },
        }
    }

    fn validator(&self) -> PathBuf {
        let mut name = self.part.as_os_str().to_owned();
        name.push(".etag");
        name.into()
    }

    fn length(&self, file: &File) -> Result<u64> {
        Ok(file.metadata().map_err(Error::io(self.part))?.len())
    }

    /// Begin again; the new length.
    fn empty(&self, file: &File) -> Result<u64> {
        file.set_len(0).map_err(Error::io(self.part))?;
        Ok(0)
    }

    /// What a request without an answer is: worth another one, or not.
    fn reason(&self, error: ureq::Error) -> Failure {
        match error {
            ureq::Error::Io(_)
            | ureq::Error::Timeout(_)
            | ureq::Error::ConnectionFailed
            | ureq::Error::HostNotFound => Failure::Broken(error.to_string()),
            ureq::Error::Protocol(_) => Failure::Broken(error.to_string()),
            error => Failure::Final(
                self.error(&error.to_string(), "correct the address, or name a mirror with --from URL"),
            ),
        }
    }

    fn error(&self, what: &str, remedy: &str) -> Error {
        Error::usage(format!("{}: {what}", self.url), remedy)
    }
}

/// From HTTPS nobody leads to an address without it.
fn agent(url: &str) -> Result<Agent> {
    let config = Agent::config_builder()
        .https_only(url.starts_with("https:"))
        .http_status_as_error(false)
        .user_agent(concat!("signclip/", env!("CARGO_PKG_VERSION")))
        .tls_config(TlsConfig::builder().root_certs(roots()?).build())
        .timeout_connect(Some(SILENCE))
        .timeout_recv_response(Some(SILENCE))
        .timeout_per_read(Some(SILENCE));
    Ok(config.build().into())
}

/// The certificates of `$SSL_CERT_FILE`, which a proxy that looks into connections makes necessary; else Mozilla's.
fn roots() -> Result<RootCerts> {
    let Some(file) = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from) else {
        return Ok(RootCerts::WebPki);
    };
    let text = regular_file::read(&file, SETTINGS).map_err(Error::io(&file))?;
    let certificate = |item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    };
    let certificates: Vec<_> = parse_pem(&text).filter_map(certificate).collect();
    if certificates.is_empty() {
        return Err(Error::input(&file, "", "no certificates", "correct $SSL_CERT_FILE, or unset it"));
    }
    Ok(RootCerts::from(certificates))
}

/// First byte and size of the whole by a Content-Range, as `bytes 100-199/200`.
fn range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let text = headers.get("content-range")?.to_str().ok()?.strip_prefix("bytes ")?;
    let (range, total) = text.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, total.parse().ok()))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
