//! `extract fetch` against a server on this machine that breaks off, lies, redirects, and sends the wrong bytes: nothing
//! wrong is ever left under a final name.

use crate::corpus::empty;
use crate::program::{Done, command, ended, finish, words};
use serde_json::{Value, json};
use signclip_common::checksum;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const SIZE: usize = 300_000;

/// The file that is wanted: bytes that never repeat.
fn weights() -> Vec<u8> {
    (0..SIZE as u32 / 4).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

/// A request: its path, and the value of a header in lower case.
struct Request(Vec<String>);

impl Request {
    fn path(&self) -> &str {
        self.0[0].split(' ').nth(1).unwrap_or_default()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let begin = format!("{name}: ");
        self.0.iter().find_map(|line| line.strip_prefix(&begin))
    }

    /// The first byte that it asks for.
    fn begin(&self) -> usize {
        let range = self.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
        range.map_or(0, |begin| begin.parse().expect("a number"))
    }
}

/// A server whose n-th answer is `answer(n, request)`; what was asked, a path and its first byte a line.
fn server(
    answer: impl Fn(usize, &Request, &mut TcpStream) + Send + 'static,
) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    std::thread::spawn(move || {
        for (n, stream) in listener.incoming().enumerate() {
            let mut stream = stream.expect("a connection");
            let lines = BufReader::new(stream.try_clone().expect("a copy")).lines();
            let lines = lines.map_while(Result::ok).take_while(|line| !line.is_empty());
            let request =
                Request(lines.enumerate().map(|(n, l)| if n == 0 { l } else { l.to_lowercase() }).collect());
            if request.0.is_empty() {
                continue;
            }
            log.lock().expect("alive").push(format!("{} {}", request.path(), request.begin()));
            answer(n, &request, &mut stream);
        }
    });
    (url, asked)
}

/// Send a head of `lines` and a body; the client may be gone.
fn send(stream: &mut TcpStream, status: &str, lines: &[String], body: &[u8]) {
    let head: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n{head}\r\n");
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}

fn length(bytes: usize) -> String {
    format!("Content-Length: {bytes}")
}

/// What an honest server sends from the byte that is asked for.
fn honest(request: &Request, stream: &mut TcpStream, bytes: &[u8]) {
    match request.begin() {
        0 => send(stream, "200 OK", &[length(bytes.len())], bytes),
        begin => {
            let range = format!("Content-Range: bytes {begin}-{}/{}", bytes.len() - 1, bytes.len());
            send(stream, "206 Partial Content", &[length(bytes.len() - begin), range], &bytes[begin..]);
        }
    }
}

/// A folder with a table of one weight file, `net/weights.bin` unless `entry` says otherwise.
fn table(url: &str, entry: &Value) -> tempfile::TempDir {
    let place = empty();
    let mut file = json!({
        "path": "net/weights.bin", "what": "a net", "needed_by": ["extract.spatial"], "source": "https://example.org",
        "url": format!("{url}/official"), "licence": "MIT", "bytes": SIZE, "sha256": checksum::of(&weights()),
    });
    for (name, value) in entry.as_object().expect("fields") {
        file[name] = value.clone();
    }
    std::fs::create_dir(place.path().join("own")).expect("a folder");
    let text = json!({ "files": [file] }).to_string();
    std::fs::write(place.path().join("own/weights.json"), text).expect("a table");
    place
}

fn fetching(place: &Path, arguments: &str) -> std::process::Command {
    let mut command = command("extract");
    command
        .current_dir(place)
        .env("SIGNCLIP_MANIFESTS", "own")
        .env("NO_PROXY", "127.0.0.1")
        .env_remove("SSL_CERT_FILE");
    command.arg("fetch").args(words(arguments)).stdin(std::process::Stdio::null());
    command
}

fn fetch(place: &Path, arguments: &str) -> Done {
    finish(fetching(place, arguments))
}

/// All files of the weights folder.
fn files(place: &Path) -> Vec<PathBuf> {
    let folder = std::fs::read_dir(place.join("weights/net"));
    folder.into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// The file is there, whole, and nothing else.
#[track_caller]
fn is_there(place: &Path) {
    let path = place.join("weights/net/weights.bin");
    assert!(std::fs::read(&path).expect("there") == weights(), "other bytes");
    assert_eq!(files(place), [path]);
}

#[test]
fn a_broken_download_continues_where_it_stopped() {
    let (url, asked) = server(|n, request, stream| match n {
        0 => send(stream, "200 OK", &[length(SIZE)], &weights()[..100_000]),
        1 => send(stream, "503 Service Unavailable", &[length(0)], b""),
        _ => honest(request, stream, &weights()),
    });
    let place = table(&url, &json!({}));
    fetch(place.path(), "").exits(0).says(&["fetched", "net/weights.bin"]);
    is_there(place.path());
    let begins = ["/official 0", "/official 100000", "/official 100000"];
    assert_eq!(*asked.lock().unwrap(), begins);
    fetch(place.path(), "").exits(0).says(&["there"]);
    assert_eq!(asked.lock().unwrap().len(), 3, "what is there is not asked for");
}

#[test]
fn a_killed_download_continues_where_it_stopped() {
    let (url, asked) = server(|n, request, stream| match n {
        0 => {
            send(stream, "200 OK", &[length(SIZE)], &weights()[..150_000]);
            std::thread::sleep(Duration::from_secs(60));
        }
        _ => honest(request, stream, &weights()),
    });
    // A server of its own for the second call, since the first one sleeps.
    let (mirror, rest) = server(|_, request, stream| honest(request, stream, &weights()));
    let place = table(&url, &json!({}));
    let part = place.path().join("weights/net/.fetch-weights.bin");
    let mut child = fetching(place.path(), "").spawn().expect("it starts");
    let begun = Instant::now();
    while std::fs::metadata(&part).map_or(0, |part| part.len()) < 150_000 {
        assert!(begun.elapsed() < Duration::from_secs(30), "150000 bytes have not arrived");
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().expect("a kill");
    ended(&mut child, Duration::from_secs(10), |_| ());
    assert_eq!(files(place.path()), [part]);
    fetch(place.path(), &format!("--from {mirror}/")).exits(0);
    is_there(place.path());
    assert_eq!(*asked.lock().unwrap(), ["/official 0"]);
    assert_eq!(*rest.lock().unwrap(), ["/net/weights.bin 150000"]);
}

#[test]
fn lies_about_the_length_leave_nothing() {
    // Less than it should be, said and sent; more than was said, where the size is not known.
    let (url, _) = server(|_, _, stream| send(stream, "200 OK", &[length(200_000)], &weights()[..200_000]));
    let place = table(&url, &json!({}));
    fetch(place.path(), "").refuses(&[&["200000 bytes where 300000 are expected"]]);
    assert!(!place.path().join("weights/net/weights.bin").exists());

    // No length at all, and no end.
    let (url, _) = server(|_, _, stream| send(stream, "200 OK", &[], &[weights(), weights()].concat()));
    let place = table(&url, &json!({}));
    fetch(place.path(), "").refuses(&[&["more than it has said"]]);
    assert!(!place.path().join("weights/net/weights.bin").exists());

    // Always less than it says.
    let (url, asked) = server(|_, _, stream| send(stream, "200 OK", &[length(900)], b"{\"a\": 1}"));
    let place = table(&url, &json!({ "path": "net/config.json", "bytes": null, "sha256": null }));
    fetch(place.path(), "").refuses(&[&["run the same command again to resume"]]);
    assert!(!place.path().join("weights/net/config.json").exists());
    assert!(asked.lock().unwrap().len() >= 5);
}

#[test]
fn wrong_bytes_leave_nothing() {
    let mut wrong = weights();
    wrong[SIZE / 2] ^= 1;
    let (url, _) = server(move |_, request, stream| honest(request, stream, &wrong));
    let place = table(&url, &json!({}));
    fetch(place.path(), "").refuses(&[&["wrong sha256"]]);
    assert!(files(place.path()).is_empty());

    // A page in place of the file, whose checksum nobody knows.
    let page = b"<html>Please log in</html>";
    let (url, _) = server(move |_, request, stream| honest(request, stream, page));
    for name in ["net/config.json", "net/large.pth", "net/model.safetensors"] {
        let place = table(&url, &json!({ "path": name, "bytes": null, "sha256": null }));
        fetch(place.path(), "").refuses(&[&["unusable"]]);
        assert!(files(place.path()).is_empty(), "{name}");
    }
}

#[test]
fn a_part_of_another_version_is_not_continued() {
    // With a checksum it is noticed at the end.
    let (url, asked) = server(|_, request, stream| honest(request, stream, &weights()));
    let place = table(&url, &json!({}));
    std::fs::create_dir_all(place.path().join("weights/net")).expect("a folder");
    std::fs::write(place.path().join("weights/net/.fetch-weights.bin"), [7; 1000]).expect("a part");
    fetch(place.path(), "").exits(0).says(&["trying again from the beginning"]);
    is_there(place.path());
    assert_eq!(*asked.lock().unwrap(), ["/official 1000", "/official 0"]);

    // Without one, the server is asked whether it has the same version still.
    let tag = |n: usize| format!("ETag: \"version {}\"", usize::from(n > 0));
    let (url, asked) = server(move |n, request, stream| {
        let text = format!("{{\"version\": {}}}", usize::from(n > 0));
        let sent = if n == 0 { &text[..5] } else { &text };
        let same = request.header("if-range") == Some("\"version 1\"");
        assert!(n == 0 || request.header("if-range").is_some() && !same, "{:?}", request.0);
        send(stream, "200 OK", &[length(text.len()), tag(n)], sent.as_bytes());
    });
    let place = table(&url, &json!({ "path": "net/config.json", "bytes": null, "sha256": null }));
    fetch(place.path(), "").exits(0);
    let text = std::fs::read_to_string(place.path().join("weights/net/config.json")).expect("there");
    assert_eq!((text.as_str(), files(place.path()).len()), ("{\"version\": 1}", 1));
    assert_eq!(*asked.lock().unwrap(), ["/official 0", "/official 5"]);
}

#[test]
fn servers_that_do_not_continue() {
    for (status, range) in
        [("200 OK", None), ("206 Partial Content", Some(5)), ("416 Range Not Satisfiable", None)]
    {
        let (url, _) = server(move |n, request, stream| match (n, range) {
            (0, _) => send(stream, "200 OK", &[length(SIZE)], &weights()[..1000]),
            (1, None) if status.starts_with("416") => send(stream, status, &[length(0)], b""),
            (1, Some(begin)) => {
                let range = format!("Content-Range: bytes {begin}-{}/{SIZE}", SIZE - 1);
                send(stream, status, &[length(SIZE - begin), range], &weights()[begin..]);
            }
            (1, _) => send(stream, status, &[length(SIZE)], &weights()),
            _ => honest(request, stream, &weights()),
        });
        let place = table(&url, &json!({}));
        fetch(place.path(), "").exits(0);
        is_there(place.path());
    }
}

#[test]
fn redirects_are_followed_but_not_for_ever() {
    let (url, asked) = server(|_, request, stream| match request.path() {
        "/elsewhere" => honest(request, stream, &weights()),
        "/official" => send(stream, "302 Found", &["Location: /elsewhere".to_owned(), length(0)], b""),
        _ => send(stream, "302 Found", &[format!("Location: {}x", request.path()), length(0)], b""),
    });
    let place = table(&url, &json!({}));
    fetch(place.path(), "").exits(0);
    is_there(place.path());
    assert_eq!(*asked.lock().unwrap(), ["/official 0", "/elsewhere 0"]);
    let place = table(&url, &json!({ "url": format!("{url}/loop") }));
    fetch(place.path(), "").refuses(&[&["loop", "redirect"]]);
    assert_eq!(*asked.lock().unwrap().last().unwrap(), format!("/loop{} 0", "x".repeat(10)));
}

#[test]
fn what_is_refused_before_anything_is_asked() {
    let (url, asked) = server(|_, _, stream| send(stream, "404 Not Found", &[length(0)], b""));
    let place = table(&url, &json!({ "agreement": "https://example.org/licence" }));
    fetch(place.path(), "").refuses(&[&["MIT", "https://example.org/licence", "--accept-licence"]]);
    fetch(place.path(), "nosuch").refuses(&[&["nosuch", "known folders: net"]]);
    assert!(asked.lock().unwrap().is_empty());
    fetch(place.path(), "net --accept-licence").refuses(&[&["404 Not Found"]]);

    let mut own = fetching(place.path(), "net --accept-licence");
    own.env("SSL_CERT_FILE", place.path().join("own/weights.json"));
    finish(own).refuses(&[&["weights.json: no certificates", "$SSL_CERT_FILE"]]);

    let outside = table(&url, &json!({ "path": "../outside.bin" }));
    fetch(outside.path(), "").refuses(&[&["outside"]]);
    let nowhere = table(&url, &json!({ "url": null }));
    fetch(nowhere.path(), "").refuses(&[&["no address", "https://example.org"]]);
    assert_eq!(asked.lock().unwrap().len(), 1);

    std::fs::create_dir_all(place.path().join("weights/net")).expect("a folder");
    std::fs::write(place.path().join("weights/net/weights.bin"), b"mine").expect("a file");
    fetch(place.path(), "--accept-licence").refuses(&[&["wrong size", "delete it"]]);
    assert_eq!(std::fs::read(place.path().join("weights/net/weights.bin")).expect("kept"), b"mine");
}
