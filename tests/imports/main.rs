//! The modules of a crate import each other without circles, as their sources say.

#![allow(clippy::disallowed_methods)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Crates that are checked.
const CRATES: [&str; 3] = ["common", "extract", "train"];

/// Path of a module in its crate.
type Module = Vec<String>;

/// Adds the code of every module below `folder`, which is that of module `at`. Programs are no modules of the crate.
fn read(folder: &Path, at: &Module, code: &mut BTreeMap<Module, String>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let (path, mut module) = (entry.path(), at.clone());
        let name = path.file_stem().and_then(|name| name.to_str()).expect("UTF-8").to_owned();
        if path.is_dir() && name != "bin" {
            module.push(name);
            read(&path, &module, code);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            if name != "lib" && name != "mod" {
                module.push(name);
            }
            let text = std::fs::read_to_string(&path).expect("a source");
            let program = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
            let lines = program.lines().filter(|line| !line.trim_start().starts_with("//"));
            code.insert(module, lines.collect::<Vec<_>>().join("\n"));
        }
    }
}

/// The paths in `code` that begin with the word `first`, with `a::{b, c}` as two paths.
fn paths(code: &str, first: &str) -> Vec<Module> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices(&format!("{first}::")) {
        let before = code[..at].chars().next_back();
        if !before.is_some_and(|c| c.is_alphanumeric() || "_:.\"'".contains(c)) {
            tree(&code[at..], Vec::new(), &mut found);
        }
    }
    found
}

/// Adds the paths of the tree at the beginning of `code`, all below `path`; returns what follows the tree.
fn tree<'c>(code: &'c str, mut path: Module, found: &mut Vec<Module>) -> &'c str {
    let mut rest = code.trim_start();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner.trim_start();
        while !rest.is_empty() && !rest.starts_with('}') {
            let after = tree(rest, path.clone(), found).trim_start();
            let next = after.strip_prefix(',').unwrap_or(after).trim_start();
            rest = if next.len() < rest.len() { next } else { "" };
        }
        return rest.strip_prefix('}').unwrap_or(rest);
    }
    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
    path.push(rest[..end].to_owned());
    match rest[end..].strip_prefix("::") {
        Some(below) => tree(below, path, found),
        None => {
            found.push(path);
            &rest[end..]
        }
    }
}

/// The modules that each module names.
fn imports(code: &BTreeMap<Module, String>) -> BTreeMap<&Module, BTreeSet<&Module>> {
    let named = |module: &Module, path: Module| -> Option<&Module> {
        let mut whole = module.clone();
        for part in path {
            match part.as_str() {
                "crate" => whole.clear(),
                "super" => drop(whole.pop()),
                _ => whole.push(part),
            }
        }
        // What is behind the last module is an item in it.
        let known = (1..=whole.len()).rev().find_map(|n| code.get_key_value(&whole[..n]));
        known.map(|(known, _)| known).filter(|known| *known != module)
    };
    let of = |module: &Module, text: &str| {
        let children =
            code.keys().filter(|other| other.len() == module.len() + 1 && other.starts_with(module));
        let first = children.filter_map(|child| child.last()).map(String::as_str).chain(["crate", "super"]);
        first.flat_map(|first| paths(text, first)).filter_map(|path| named(module, path)).collect()
    };
    code.iter().map(|(module, text)| (module, of(module, text))).collect()
}

/// A circle of imports, if there is one.
fn circle<'m>(imports: &BTreeMap<&'m Module, BTreeSet<&'m Module>>) -> Option<Vec<&'m Module>> {
    fn visit<'m>(
        module: &'m Module,
        imports: &BTreeMap<&'m Module, BTreeSet<&'m Module>>,
        way: &mut Vec<&'m Module>,
        done: &mut BTreeSet<&'m Module>,
    ) -> Option<Vec<&'m Module>> {
        if let Some(at) = way.iter().position(|other| *other == module) {
            return Some(way[at..].iter().copied().chain([module]).collect());
        }
        if !done.insert(module) {
            return None;
        }
        way.push(module);
        let found = imports[module].iter().find_map(|other| visit(other, imports, way, done));
        way.pop();
        found
    }
    let (mut way, mut done) = (Vec::new(), BTreeSet::new());
    imports.keys().find_map(|module| visit(module, imports, &mut way, &mut done))
}

fn shown(circle: &[&Module]) -> String {
    circle.iter().map(|module| module.join("::")).collect::<Vec<_>>().join(" -> ")
}

#[test]
fn no_module_imports_itself_through_others() {
    let mut circles = Vec::new();
    for name in CRATES {
        let mut code = BTreeMap::new();
        read(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).join("src"),
            &Vec::new(),
            &mut code,
        );
        assert!(code.len() > 10, "{name}: {} modules", code.len());
        circles.extend(circle(&imports(&code)).map(|found| format!("{name}: {}", shown(&found))));
    }
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

#[test]
fn circles_are_found() {
    let module = |path: &str| path.split("::").map(str::to_owned).collect::<Module>();
    let with = |sources: &[(&str, &str)]| {
        let code = sources.iter().map(|(path, text)| (module(path), (*text).to_owned())).collect();
        circle(&imports(&code)).map(|found| shown(&found))
    };
    let fine = [("a", "use b::{self, C};"), ("a::b", "use crate::d::{E, f::{G}};"), ("d", "")];
    assert_eq!(with(&fine), None);
    let back = [("a", "b::go()"), ("a::b", "use crate::d::{E, f::{G}};"), ("d", "let x = crate::a::X;")];
    assert_eq!(with(&back).as_deref(), Some("a -> a::b -> d -> a"));
    assert_eq!(with(&[("a", "use b::B;"), ("a::b", "use super::A;")]).as_deref(), Some("a -> a::b -> a"));
    assert_eq!(with(&[("a", "use b::B;"), ("a::b", "use super::c::C;"), ("a::c", "")]), None);
}
