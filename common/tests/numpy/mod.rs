//! Stores read by NumPy.

use std::path::Path;
use std::process::Command;

/// A Python with numpy: `SIGNCLIP_PYTHON`, else the first on the path that has it, or `None` with a message.
pub(crate) fn python() -> Option<String> {
    let candidates =
        [std::env::var("SIGNCLIP_PYTHON").ok(), Some("python3".into()), Some("/usr/bin/python3".into())];
    let numpy =
        |p: &String| Command::new(p).args(["-c", "import numpy"]).output().is_ok_and(|o| o.status.success());
    let found = candidates.into_iter().flatten().find(numpy);
    if found.is_none() {
        eprintln!("skipped: no Python with numpy (SIGNCLIP_PYTHON names one)");
    }
    found
}

/// What a script with one argument prints.
pub(crate) fn run(python: &str, script: &str, argument: &Path) -> String {
    let output = Command::new(python).args(["-c", script]).arg(argument).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The example of the format's specification, on the store that is its argument.
pub(crate) fn example() -> String {
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../cache/README.md")).unwrap();
    let example = page.split("```python\n").nth(1).and_then(|p| p.split("```").next()).unwrap();
    example.replace("\"cache/phoenix/train\"", "__import__('sys').argv[1]")
}
