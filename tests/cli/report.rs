//! `evaluate report`, read as text and opened in a browser.

use crate::corpus::{copy, empty, extract_phoenix, features, store};
use crate::program::{TRAIN, run, train, words};
use serde_json::{Value, json};
use signclip_common::checksum;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A run with a gate on the rendered corpus, its test split translated, and the sheets of the split; made once.
struct Evaluated {
    run: PathBuf,
    sheets: PathBuf,
}

fn evaluated() -> &'static Evaluated {
    static EVALUATED: OnceLock<(tempfile::TempDir, Evaluated)> = OnceLock::new();
    let (_, evaluated) = EVALUATED.get_or_init(|| {
        let place = empty();
        let line = format!("{TRAIN} --set head.streams=both --features {} --run run", features().display());
        run(place.path(), "train", words(&line)).exits(0);
        run(place.path(), "evaluate", words("--run run --gpus cpu")).exits(0);
        let sheets = place.path().join("sheets");
        extract_phoenix(&place.path().join("again"), &format!("--split test --preview {}", sheets.display()))
            .exits(0);
        let run = place.path().join("run");
        (place, Evaluated { run, sheets })
    });
    evaluated
}

/// The report of the run in `folder`.
fn report(folder: &Path, more: &str) -> String {
    let line = format!("report {} --gpus cpu {more}", folder.display());
    run(folder, "evaluate", words(&line)).exits(0).says(&["report.html"]);
    std::fs::read_to_string(folder.join("report.html")).expect("a report")
}

/// Lists of ambiguous words and of an ablation in `folder`, and the flags that name them.
fn lists(folder: &Path) -> String {
    let text = store(features(), "test").clips[0].facts.text.clone().expect("a sentence");
    let word = text.split_whitespace().next().expect("a word");
    let ambiguous = json!({ "pairs": [[word, "nosuch"], ["one", "another"]] });
    let seed = |seed: u64, bleu4: f64| json!({ "seed": seed, "bleu4": bleu4, "rouge_l": 20.0, "ambiguous_accuracy": 0.515 });
    let row = |name: &str, bleu4: f64, accuracy: Option<f64>, by_seed: &[Value], against: &[Value]| {
        json!({ "name": name, "settings": [], "bleu4": bleu4, "rouge_l": 20.0, "ambiguous_accuracy": accuracy,
                "by_seed": by_seed, "against": against })
    };
    let against = |other: &str, difference: f64, interval: [f64; 2], holds: bool, paper: f64| json!({ "row": other, "difference": difference, "interval": interval, "holds": holds, "paper": paper });
    let ablation = json!({
        "features": "cache", "split": "test", "sentences": 2, "seeds": [1, 2], "shared": [], "signatures": ["", ""],
        "bootstrap": { "resamples": 1000, "seed": 12345 },
        "rows": [
            row("spatial", 11.25, Some(0.525), &[seed(1, 11.0), seed(2, 11.5)], &[]),
            row("both+vt+sm", 33.0, None, &[seed(1, 33.0)],
                &[against("both+vt", 0.25, [-1.0, 1.5], false, 2.38),
                  against("spatial", 21.75, [20.0, 23.5], true, 4.84)]),
        ],
    });
    for (name, json) in [("pairs.json", ambiguous), ("ablation.json", ablation)] {
        std::fs::write(folder.join(name), json.to_string()).expect("a list");
    }
    let shown = folder.display();
    format!("--ambiguous {shown}/pairs.json --ablation {shown}/ablation.json")
}

#[test]
fn a_report_of_everything() {
    let place = empty();
    let Evaluated { run: made, sheets } = evaluated();
    let folder = place.path().join("run");
    copy(made, &folder);
    let flags = format!("{} --sheets {}", lists(place.path()), sheets.display());
    let html = report(&folder, &flags);
    let metrics = std::fs::read_to_string(folder.join("test/metrics.json")).expect("metrics");
    let metrics: Value = serde_json::from_str(&metrics).expect("JSON");
    let signature = metrics["scores"]["bleu"]["signature"].as_str().expect("a signature");
    let test = store(features(), "test");
    for part in [
        signature,
        "52.5 %",
        "+21.75 [+20.00, +23.50] to spatial; paper +4.84",
        "both+vt+sm on both+vt: +0.25 [-1.00, +1.50]; the paper has +2.38",
        "language_model.tuning",
        "data:image/png;base64,",
    ] {
        assert!(html.contains(part), "{part}");
    }
    // Both clips are shown (the best is the median of two), with frames, mouths and gate.
    for clip in &test.clips {
        assert!(html.contains(&format!("Clip {} over time: gate from 0.", clip.id)), "{}", clip.id);
    }
    // A table of every clip, and nothing missing but the words of a split of two clips.
    assert_eq!(html.matches("class=\"hypothesis\"").count(), 2 * test.clips.len());
    assert_eq!(html.matches("Not here yet").count(), usize::from(!html.contains("class=\"map\"")), "{html}");
    // Nothing is loaded from anywhere.
    let address = |attribute: &str| {
        let before = format!(" {attribute}=\"");
        html.split(&before)
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    let all = [address("href"), address("src")].concat();
    assert!(all.iter().all(|a| a.starts_with('#') || a.starts_with("data:")), "{all:?}");
    // The same twice.
    let gate = || std::fs::read(folder.join("test/gate.json")).expect("the gate");
    let first = gate();
    assert!(report(&folder, &flags) == html && gate() == first);
    // One value a frame, each a share.
    let gate: Value = serde_json::from_slice(&first).expect("JSON");
    for clip in &test.clips {
        let track = &gate["clips"][&clip.id];
        for values in ["mean", "low", "high"].map(|name| track[name].as_array().expect("values")) {
            assert_eq!((values.len(), track["first_frame"].as_u64()), (clip.frames, Some(0)));
            assert!(values.iter().all(|v| v.as_f64().is_some_and(|v| (0.0..=1.0).contains(&v))));
        }
    }
}

#[test]
fn what_is_missing_is_said_with_its_command() {
    let place = empty();
    let line = format!("--features {} --run run --set optimiser.epochs=1", features().display());
    train(place.path(), &line).exits(0);
    let folder = place.path().join("run");
    let evaluate = format!("evaluate --run {} --split test", folder.display());
    let html = report(&folder, "");
    for part in [&evaluate, "The run uses the hands alone", "--preview DIR", "just ablate"] {
        assert!(html.contains(part), "{part}");
    }
    std::fs::remove_file(folder.join("log.jsonl")).expect("removed");
    std::fs::remove_file(folder.join("best.safetensors")).expect("removed");
    let config = folder.join("config.json");
    let text = std::fs::read_to_string(&config).expect("a configuration");
    let mut json: Value = serde_json::from_str(&text).expect("JSON");
    json["features"] = json!("nosuch");
    std::fs::write(&config, json.to_string()).expect("written");
    let html = report(&folder, "");
    for part in ["no log.jsonl", "The features are not there", "extract --dataset NAME --out nosuch"] {
        assert!(html.contains(part), "{part}");
    }
    let folder = place.path().join("whole");
    copy(&evaluated().run, &folder);
    assert!(report(&folder, "").contains("evaluate report RUN --ambiguous FILE"));
}

/// A kill between the writing of predictions and of scores leaves files of two evaluations.
#[test]
fn scores_of_other_predictions() {
    let place = empty();
    copy(&evaluated().run, &place.path().join("run"));
    let file = place.path().join("run/test/predictions.jsonl");
    let text = std::fs::read_to_string(&file).expect("predictions");
    std::fs::write(&file, text.replacen("\"hypothesis\":\"", "\"hypothesis\":\"x", 1)).expect("written");
    let report = || run(place.path(), "evaluate", words("report run --gpus cpu"));
    report().refuses(&[&["run/test/metrics.json: scores of another predictions.jsonl", "evaluate --run"]]);
    // Whichever side it is on.
    for sides in ["run other.jsonl", "other.jsonl run"] {
        std::fs::write(place.path().join("other.jsonl"), &text).expect("written");
        let compare = || run(place.path(), "evaluate", words(&format!("compare {sides}")));
        compare().refuses(&[&["run/test/metrics.json: scores of another predictions.jsonl", "again"]]);
    }
    run(place.path(), "evaluate", words("--run run --gpus cpu")).exits(0);
    report().exits(0);
    run(place.path(), "evaluate", words("compare run other.jsonl")).exits(0);
}

#[test]
fn what_cannot_be_reported_is_one_line() {
    let place = empty();
    let Evaluated { run: made, .. } = evaluated();
    let report = |line: &str| run(place.path(), "evaluate", words(&format!("report {line} --gpus cpu")));
    report("nosuch").refuses(&[&["nosuch/config.json", "no run here", "train"]]);
    let made = made.display();
    report(&format!("{made} --clips nosuch")).refuses(&[&["--clips nosuch", "no such clip"]]);
    report(&format!("{made} --ambiguous nosuch.json")).refuses(&[&["nosuch.json"]]);
    report(&format!("{made} --split ../x")).refuses(&[&["--split"]]);
    report(&format!("{made} --split tset")).refuses(&[&["--split tset: neither", "has it", "another split"]]);
    report(&format!("{made} --features nosuch")).refuses(&[&["nosuch: no folder here", "--features"]]);
    report(&format!("{made} --sheets nosuch")).refuses(&[&["nosuch: no folder here", "--sheets"]]);
    std::fs::write(place.path().join("foreign.json"), "{\"pairs\": [[\"a\", \"b\"]]}").expect("written");
    report(&format!("{made} --ambiguous foreign.json"))
        .refuses(&[&["foreign.json, pairs: none of its words"]]);
    // Nothing but a report is replaced by one.
    std::fs::write(place.path().join("weights"), "bytes").expect("written");
    report(&format!("{made} --out weights"))
        .refuses(&[&["weights: the file there is not a report", "--out"]]);
    assert_eq!(std::fs::read(place.path().join("weights")).expect("still there"), b"bytes");
    lists(place.path());
    let text = std::fs::read_to_string(place.path().join("ablation.json")).expect("an ablation");
    let mut empty: Value = serde_json::from_str(&text).expect("JSON");
    empty["rows"] = json!([]);
    std::fs::write(place.path().join("rows.json"), empty.to_string()).expect("written");
    report(&format!("{made} --ablation rows.json")).refuses(&[&["rows.json, rows: no rows"]]);
    // A sheet of an earlier version does not say where its pictures are.
    let sheet = store(features(), "test").clips[0].id.clone() + ".png";
    std::fs::write(place.path().join(&sheet), "PNG?").expect("written");
    report(&format!("{made} --sheets . --out r.html")).refuses(&[&[&sheet, "no PNG file", "--preview"]]);
    let folder = place.path().join("run");
    copy(Path::new(&made.to_string()), &folder);
    let predictions = folder.join("test/predictions.jsonl");
    let text = std::fs::read_to_string(&predictions).expect("predictions");
    std::fs::write(&predictions, text.lines().next().expect("a line")).expect("written");
    let metrics = folder.join("test/metrics.json");
    let other = std::fs::read_to_string(&metrics).expect("metrics");
    std::fs::write(&metrics, other.replacen("\"test\"", "\"dev\"", 1)).expect("written");
    report("run").refuses(&[&["run/test/metrics.json", "scores of dev, beside predictions of test"]]);
    std::fs::write(&metrics, other).expect("written");
    report("run").refuses(&[&[
        "run/test/metrics.json",
        "scores of 2 clips, beside 1 predictions",
        "evaluate --run",
    ]]);
}

/// A run whose texts would be code, if they were not kept from it.
fn hostile(folder: &Path) {
    let Evaluated { run: made, .. } = evaluated();
    copy(made, folder);
    let predictions = folder.join("test/predictions.jsonl");
    let text = std::fs::read_to_string(&predictions).expect("predictions");
    let lines = text.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).expect("JSON");
        line["hypothesis"] = json!("<script>nosuch()</script> \"'><img src=x onerror=nosuch()> </p>&lt;");
        format!("{line}\n")
    });
    let lines: String = lines.collect();
    std::fs::write(&predictions, &lines).expect("written");
    let metrics = folder.join("test/metrics.json");
    let mut json: Value = serde_json::from_slice(&std::fs::read(&metrics).expect("metrics")).expect("JSON");
    json["predictions_sha256"] = checksum::of(lines.as_bytes()).into();
    std::fs::write(&metrics, json.to_string()).expect("written");
}

#[test]
fn texts_do_not_become_code() {
    let place = empty();
    let folder = place.path().join("run");
    hostile(&folder);
    let html = report(&folder, "");
    assert!(!html.contains("<script>nosuch") && !html.contains("<img"), "a text as code");
    assert!(html.contains("&lt;script&gt;nosuch()&lt;/script&gt;"), "the text is shown");
}

/// The browser, or `None` with a message; `SIGNCLIP_BROWSER=required` makes its absence a failure.
fn browser() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name)));
    let found = found.into_iter().find(|program| program.is_file());
    if found.is_none() {
        let required = std::env::var("SIGNCLIP_BROWSER").is_ok_and(|value| value == "required");
        assert!(!required, "no browser: apt-get install --no-install-recommends chromium");
        println!(
            "skipped: no chromium (apt-get install --no-install-recommends chromium; just check-report)"
        );
    }
    found
}

/// Watches what goes wrong in a page, tries its pictures and its buttons, and leaves what it saw in the document.
const PROBE: &str = r#"<script>
const seen = { errors: [], blocked: [] };
addEventListener("error", (e) => seen.errors.push(e.message ?? "something did not load"), true);
addEventListener("securitypolicyviolation", (e) => seen.blocked.push(e.blockedURI));
addEventListener("load", async () => {
  const addresses = [...document.querySelectorAll("img, image")].map((i) => i.href?.baseVal ?? i.src);
  seen.pictures = addresses.length;
  seen.decoded = 0;
  for (const address of addresses) {
    const picture = new Image();
    await new Promise((tried) => {
      picture.onload = picture.onerror = tried;
      picture.src = address;
    });
    if (picture.naturalWidth > 0) seen.decoded++;
  }
  const parts = [...document.querySelectorAll(".timeline use")].map((use) => use.getBoundingClientRect());
  seen.parts = parts.filter((box) => box.width > 0 && box.height > 0).length;
  seen.sorted = [...document.querySelectorAll(".sortable thead button")].map((button) => {
    const values = () => {
      button.click();
      const rows = [...document.querySelectorAll(".sortable tbody tr")];
      return rows.map((row) => Number(row.cells[button.dataset.column].dataset.value));
    };
    return [values(), values()];
  });
  seen.requests = performance.getEntriesByType("resource").map((r) => r.name).filter((n) => !n.startsWith("data:"));
  seen.wide = document.documentElement.scrollWidth > innerWidth;
  document.documentElement.dataset.seen = encodeURIComponent(JSON.stringify(seen));
});
</script>"#;

/// What the probe saw in the page, opened `width` pixels wide.
fn opened(browser: &Path, html: &str, width: u32) -> Value {
    let place = empty();
    let file = place.path().join("page.html");
    std::fs::write(&file, html.replacen("<style>", &format!("{PROBE}<style>"), 1)).expect("a page");
    let mut command = Command::new(browser);
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--dump-dom",
        "--virtual-time-budget=20000",
    ]);
    command.arg(format!("--window-size={width},900"));
    command.arg(format!("--user-data-dir={}", place.path().join("profile").display())).arg(&file);
    let output = command.output().expect("the browser starts");
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let seen = dom.split("data-seen=\"").nth(1).and_then(|rest| rest.split('"').next());
    let seen = seen.unwrap_or_else(|| panic!("{}\n{dom}", String::from_utf8_lossy(&output.stderr)));
    serde_json::from_slice(&percent_decoded(seen)).expect("JSON")
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        let digit =
            |byte: Option<u8>| char::from(byte.expect("two digits")).to_digit(16).expect("a digit") as u8;
        decoded.push(if byte == b'%' { digit(bytes.next()) * 16 + digit(bytes.next()) } else { byte });
    }
    decoded
}

#[test]
fn a_browser_opens_it_without_complaint() {
    let Some(browser) = browser() else { return };
    let place = empty();
    let folder = place.path().join("run");
    hostile(&folder);
    let flags = format!("{} --sheets {}", lists(place.path()), evaluated().sheets.display());
    let html = report(&folder, &flags);
    for width in [1280, 500] {
        let seen = opened(&browser, &html, width);
        for nothing in ["errors", "blocked", "requests"] {
            assert_eq!(seen[nothing], json!([]), "{nothing} at {width}");
        }
        assert_eq!((&seen["pictures"], &seen["decoded"]), (&json!(2), &json!(2)), "{seen}");
        assert!(seen["parts"].as_u64().is_some_and(|parts| parts >= 2 * 2 * 5), "{seen}");
        assert_eq!(seen["wide"], false, "the page is wider than the window of {width}");
        // Every button sorts, down and then up.
        let sorted = seen["sorted"].as_array().expect("buttons");
        assert_eq!(sorted.len(), 6);
        for (first, second) in sorted.iter().map(|both| (&both[0], &both[1])) {
            let values = |v: &Value| -> Vec<f64> {
                v.as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
            };
            assert!(
                values(first).is_sorted_by(|a, b| a >= b) && values(second).is_sorted(),
                "{first} {second}"
            );
        }
    }
    // What the probe would see of a page that is not as it should be.
    let broken = "<body><script>nosuch()</script><img src=\"https://example.com/x.png\">\
                  <img src=\"data:image/png;base64,AAAA\">";
    let seen = opened(&browser, &html.replacen("<body>", broken, 1), 1280);
    let said = |list: &Value, what: &str| {
        list.as_array()
            .is_some_and(|list| list.iter().any(|one| one.as_str().is_some_and(|one| one.contains(what))))
    };
    assert!(said(&seen["errors"], "nosuch") && said(&seen["blocked"], "example.com"), "{seen}");
    assert_eq!((&seen["pictures"], &seen["decoded"]), (&json!(4), &json!(2)), "{seen}");
}
