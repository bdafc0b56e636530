//! The effective settings of the run, and of the features it was trained on.

use super::page::{missing, section};
use crate::training::run::RunInfo;
use maud::{Markup, html};
use serde_json::Value;
use signclip_common::store::StoreInfo;
use signclip_common::{Result, json};

/// The section; there are no `stores` where the features are absent, and `extract` is the command that makes them.
pub(super) fn show<'s>(
    info: &RunInfo,
    stores: impl Iterator<Item = &'s StoreInfo>,
    extract: &str,
) -> Result<Markup> {
    let (run, stores) = (json::value(info)?, stores.map(json::value).collect::<Result<Vec<_>>>()?);
    let body = html! {
        (table("The run: config.json.", &run))
        @for store in &stores { (table("The features: store.json of the split.", store)) }
        @if stores.is_empty() { (missing("The features that the run was trained on are not there.", extract)) }
    };
    Ok(section("settings", "Settings", body))
}

fn table(caption: &str, json: &Value) -> Markup {
    let mut rows = Vec::new();
    flatten(json, String::new(), &mut rows);
    html! {
        details {
            summary { (caption) }
            div class="scroll" {
                table class="settings" {
                    caption { (caption) }
                    thead { tr { th scope="col" { "Field" } th scope="col" { "Value" } } }
                    tbody { @for (field, value) in rows { tr { th scope="row" { (field) } td { (value) } } } }
                }
            }
        }
    }
}

/// Fields of fields by their path, `optimiser.epochs`.
fn flatten(json: &Value, path: String, rows: &mut Vec<(String, String)>) {
    match json {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(value, path, rows);
            }
        }
        Value::String(text) => rows.push((path, text.clone())),
        Value::Null => rows.push((path, "–".to_owned())),
        other => rows.push((path, other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_their_path() {
        let json = serde_json::json!({"a": {"b": [1, 2], "c": {}}, "d": null, "e": "x"});
        let mut rows = Vec::new();
        flatten(&json, String::new(), &mut rows);
        let rows: Vec<(&str, &str)> =
            rows.iter().map(|(path, value)| (path.as_str(), value.as_str())).collect();
        assert_eq!(rows, [("a.b", "[1,2]"), ("a.c", "{}"), ("d", "–"), ("e", "x")]);
    }
}
