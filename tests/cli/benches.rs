//! What `benches/` has can be got again: each file says when, of which commit, on which machine, and by which command.

use serde_json::Value;
use std::path::Path;

/// Written before all of this was asked for: some say "not recorded", or of what build they are in words.
const FIRST: [&str; 6] = [
    "extract-2026-11-26-amd-epyc",
    "scaling-2026-11-26",
    "store-2026-11-26",
    "study-how2sign-2026-11-26",
    "study-how2sign-control-2026-11-26",
    "study-phoenix-readings-2026-11-26",
];

/// What keeps a result from being got again, the file's name without its ending given.
fn fault(name: &str, result: &Value) -> Option<String> {
    let text = |place: &str| result.pointer(place).and_then(Value::as_str).unwrap_or_default();
    for place in ["/date", "/commit", "/command", "/machine/cpu", "/versions/libtorch"] {
        if text(place).is_empty() {
            return Some(format!("no {place}"));
        }
    }
    let date = text("/date");
    let is_date = date.len() == 10 && date.split('-').map(str::len).eq([4, 2, 2]);
    if !is_date || !date.bytes().all(|b| b.is_ascii_digit() || b == b'-') || !name.contains(date) {
        return Some(format!("the date {date:?}"));
    }
    if FIRST.contains(&name) {
        return None;
    }
    let commit = text("/commit");
    if !(7..=40).contains(&commit.len()) || !commit.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Some(format!("the commit {commit:?}"));
    }
    let unknown = |place: &&str| text(place) == "not recorded";
    ["/command", "/machine/cpu"].into_iter().find(unknown).map(|place| format!("{place}: not recorded"))
}

#[test]
fn every_result_says_where_it_is_from() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches");
    let files = std::fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut seen = 0;
    for file in files.filter(|file| file.extension().is_some_and(|ending| ending == "json")) {
        let text = std::fs::read_to_string(&file).expect("a file");
        let result: Value = serde_json::from_str(&text).expect("JSON");
        let name = file.file_stem().expect("a name").to_string_lossy();
        assert_eq!(fault(&name, &result), None, "{}", file.display());
        seen += 1;
    }
    assert!(seen > 5, "{seen}");
}

#[test]
fn results_without_provenance_are_refused() {
    let whole = serde_json::json!({
        "date": "2026-12-01", "commit": "abcdef0", "command": "just bench", "machine": { "cpu": "some" },
        "versions": { "libtorch": "2.13.0" }
    });
    let name = "some-2026-12-01";
    assert_eq!(fault(name, &whole), None);
    assert!(fault("anything", &serde_json::json!({})).is_some());
    assert!(fault("some-2020-01-01", &serde_json::json!({ "date": "2020-01-01" })).is_some());
    for (place, value) in [
        ("/date", ""),
        ("/date", "2026-11-30"),
        ("/commit", "abcdef0+changes"),
        ("/commit", "of some day"),
        ("/command", ""),
        ("/command", "not recorded"),
        ("/machine/cpu", "not recorded"),
        ("/versions/libtorch", ""),
    ] {
        let mut other = whole.clone();
        *other.pointer_mut(place).expect(place) = value.into();
        assert!(fault(name, &other).is_some(), "{place}: {value:?}");
    }
}

/// Every row of the tables of the study and of the recipes is on its page with the numbers that its file has.
#[test]
fn pages_have_the_numbers_of_the_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (begin, page) in [("study-", "docs/results.md"), ("presets-", "docs/recipes.md")] {
        let text = std::fs::read_to_string(root.join(page)).expect("a page");
        let files = std::fs::read_dir(root.join("benches")).expect("a folder");
        let files = files.map(|entry| entry.expect("an entry").path());
        let mut seen = 0;
        for file in files.filter(|file| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(begin) && name.ends_with(".json")
        }) {
            rows_are_on(&text, &file);
            seen += 1;
        }
        assert!(seen > 0, "no file for {page}");
    }
}

fn rows_are_on(page: &str, file: &Path) {
    let text = std::fs::read_to_string(file).expect("a file");
    let result: Value = serde_json::from_str(&text).expect("JSON");
    // Tables of the first study, which had no such column, are written in another way.
    let is_new = |row: &&Value| row["exact"].is_number();
    for row in result["rows"].as_array().into_iter().flatten().filter(is_new) {
        let number = |value: &Value| value.as_f64().expect("a number");
        let [name, differences] = [&row["name"], &row["against"]];
        let [bleu4, deviation] = [&row["bleu4"], &row["bleu4_deviation"]].map(number);
        let begin = format!("| {} | {bleu4:.2} ± {deviation:.2} |", name.as_str().expect("a name"));
        let line = page.lines().find(|line| line.contains(&begin));
        let line = line.unwrap_or_else(|| panic!("{}: no line with {begin:?} on the page", file.display()));
        for other in differences.as_array().into_iter().flatten() {
            let [low, high] = [0, 1].map(|end| number(&other["interval"][end]));
            let shown = format!("{:+.2} [{low:+.2}, {high:+.2}]", number(&other["difference"]));
            assert!(line.contains(&shown), "{}: {shown} is not in {line}", file.display());
        }
    }
}
