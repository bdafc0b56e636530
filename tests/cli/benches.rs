//! What `benches/` has can be got again: each file says when, of which commit, on which machine, and by which command.

use serde_json::Value;
use std::path::Path;

#[test]
fn every_result_says_where_it_is_from() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches");
    let files = std::fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut seen = 0;
    for file in files.filter(|file| file.extension().is_some_and(|ending| ending == "json")) {
        let text = std::fs::read_to_string(&file).expect("a file");
        let result: Value = serde_json::from_str(&text).expect("JSON");
        let date = result["date"].as_str().unwrap_or_default();
        assert!(
            file.file_stem().is_some_and(|name| name.to_string_lossy().contains(date)),
            "{}",
            file.display()
        );
        for place in ["/date", "/commit", "/command", "/machine/cpu", "/versions/libtorch"] {
            let field = result.pointer(place).and_then(Value::as_str).unwrap_or_default();
            // The first files were written before this was asked for.
            let known = !field.is_empty() && (field != "not recorded" || date <= "2026-11-26");
            assert!(
                known && !field.contains("+changes") || date <= "2026-11-26",
                "{}: {place}",
                file.display()
            );
        }
        seen += 1;
    }
    assert!(seen > 5, "{seen}");
}
