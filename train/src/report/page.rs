//! The page around the sections. It holds everything that it shows: a browser that opens it is forbidden to load
//! anything else.

use maud::{DOCTYPE, Markup, PreEscaped, html};

/// What the head of every report says of its maker.
pub const GENERATOR: &str = "SignClip evaluate report";

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");
/// Nothing is loaded but what is in the page itself.
const POLICY: &str =
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// Sections and their names in the contents.
const CONTENTS: [(&str, &str); 8] = [
    ("scores", "Scores"),
    ("ablation", "Ablation"),
    ("curves", "Training"),
    ("gate", "Gate over time"),
    ("words", "Words in the fused features"),
    ("breakdown", "Breakdown"),
    ("translations", "Translations"),
    ("settings", "Settings"),
];

/// The whole page: `title`, lines below it, and the sections.
pub(super) fn page(title: &str, below: &[Markup], sections: &[Markup]) -> String {
    document(
        title,
        html! {
            header {
                h1 { (title) }
                @for line in below { p { (line) } }
                nav aria-label="Contents" {
                    ul { @for (id, name) in CONTENTS { li { a href=(format!("#{id}")) { (name) } } } }
                }
            }
            main { @for section in sections { (section) } }
            footer { p { "Written by signclip evaluate report " (env!("CARGO_PKG_VERSION")) "." } }
            script { (PreEscaped(SCRIPT)) }
        },
    )
}

/// A page that loads nothing, with the report's style.
pub(super) fn document(title: &str, body: Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="generator" content=(GENERATOR);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    };
    page.into_string()
}

/// A section with its heading.
pub(super) fn section(id: &str, heading: &str, body: Markup) -> Markup {
    html! {
        section id=(id) aria-labelledby=(format!("{id}-heading")) {
            h2 id=(format!("{id}-heading")) { (heading) }
            (body)
        }
    }
}

/// What is not there, and the command that makes it; one a line where there are several.
pub(super) fn missing(what: &str, command: &str) -> Markup {
    html! {
        div class="missing" {
            p { strong { "Not here yet. " } (what) }
            p { "It is made by: " @for line in command.lines() { code { (line) } " " } }
        }
    }
}
