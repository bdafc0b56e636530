//! Settings that replace those of a preset: a JSON file, then `key=value` from the command line.

use crate::config::TrainConfig;
use crate::language::settings::TuningKind;
use crate::without_effect::without_effect;
use serde::Deserialize;
use serde_json::Value;
use signclip_common::regular_file::{self, SETTINGS};
use signclip_common::{Error, Result, json};
use std::path::Path;

impl TrainConfig {
    /// `self` with the fields of the JSON file, then of `key=value` settings (`optimiser.epochs=10`). Errors: a field that
    /// is not there, a value that it cannot have, a field that is set and changes nothing.
    pub fn with(self, file: Option<&Path>, settings: &[String]) -> Result<Self> {
        const EVERY_FIELD: &str = "config.json of any run shows all fields";
        let parse = |json: &Value| Self::deserialize(json).map_err(|e| e.to_string());
        let mut json = json::value(&self)?;
        let mut by_hand = Vec::new();
        if let Some(path) = file {
            let text = regular_file::read_to_string(path, SETTINGS).map_err(Error::io(path))?;
            let over: Value = serde_json::from_str(&text).map_err(|e| {
                Error::input(path, format!("line {}", e.line()), e.to_string(), "correct the file")
            })?;
            let Some(fields) = over.as_object() else {
                return Err(Error::input(
                    path,
                    "",
                    "not a JSON object",
                    "write {\"optimiser\": {\"epochs\": 10}}",
                ));
            };
            // All settings together are those of a run, nobody's choice one by one.
            let all = json.as_object().is_some_and(|all| all.keys().all(|key| fields.contains_key(key)));
            if !all {
                keys(&over, "", &mut by_hand);
            }
            merge(&mut json, over);
            parse(&json).map_err(|e| Error::input(path, "", e, EVERY_FIELD))?;
        }
        for setting in settings {
            let wrong = |what: &str| {
                Error::usage(format!("--set {setting}: {what}"), "write --set optimiser.epochs=10")
            };
            let (key, value) = setting.split_once('=').ok_or_else(|| wrong("no '='"))?;
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
            keys(&value, key, &mut by_hand);
            *json.pointer_mut(&pointer(key)).ok_or_else(|| wrong("no such field"))? = value;
            parse(&json).map_err(|e| Error::usage(format!("--set {setting}: {e}"), EVERY_FIELD))?;
        }
        let mut config = parse(&json).map_err(|e| Error::usage(e, EVERY_FIELD))?;
        // A preset's adapter goes with its tuning.
        let model = &mut config.language_model;
        if (model.tuning != TuningKind::Lora || model.adapter.is_some())
            && model.lora == self.language_model.lora
        {
            model.lora = Self::default().language_model.lora;
        }
        config.check()?;
        config.check_effect(&by_hand)?;
        Ok(config)
    }

    /// Refuses fields that were set by hand and change nothing beside the others, unless they say that something is off
    /// that is off.
    fn check_effect(&self, by_hand: &[String]) -> Result<()> {
        let (own, default) = (json::value(self)?, json::value(&Self::default())?);
        let is_off = |field: &str| {
            let value = own.pointer(&pointer(field));
            let off = [Value::Bool(false), 0.into(), 0.0.into(), Value::Null, Value::Array(Vec::new())];
            let is_weight = ["loss.alpha", "loss.beta"].contains(&field);
            value.is_some_and(|v| off.contains(v)) && (is_weight || value == default.pointer(&pointer(field)))
        };
        let set = |field: &str| by_hand.iter().any(|key| key == field) && !is_off(field);
        match without_effect(self).into_iter().find(|(field, _)| set(field)) {
            Some((field, why)) => {
                Err(Error::usage(format!("{field} is set and changes nothing: {why}"), "leave it out"))
            }
            None => Ok(()),
        }
    }
}

/// The pointer to a field, `a.b` as `/a/b`.
fn pointer(field: &str) -> String {
    format!("/{}", field.replace('.', "/"))
}

/// The names of all fields in `json`, below `above`.
fn keys(json: &Value, above: &str, into: &mut Vec<String>) {
    match json {
        Value::Object(fields) => {
            for (key, value) in fields {
                let dot = if above.is_empty() { "" } else { "." };
                keys(value, &format!("{above}{dot}{key}"), into);
            }
        }
        _ => into.push(above.to_owned()),
    }
}

/// Replaces the fields of `json` that `over` names.
fn merge(json: &mut Value, over: Value) {
    match (json, over) {
        (Value::Object(json), Value::Object(over)) => {
            for (key, value) in over {
                merge(json.entry(key).or_insert(Value::Null), value);
            }
        }
        (json, over) => *json = over,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::config::LossConfig;
    use crate::head::streams::Streams;
    use crate::language::settings::VtTarget;

    fn with(preset: TrainConfig, settings: &[&str]) -> Result<TrainConfig, String> {
        let settings: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
        preset.with(None, &settings).map_err(|e| e.to_string())
    }

    #[test]
    fn settings_replace_the_papers() {
        let config =
            with(TrainConfig::default(), &["optimiser.epochs=3", "head.streams=spatial"]).expect("settings");
        assert_eq!(config.optimiser.epochs, 3);
        assert_eq!(config.head.streams, Streams::only("spatial"));
        let LossConfig { alpha, beta, symmetric, vt_target, .. } = config.loss;
        assert_eq!((alpha, beta, symmetric, vt_target), (1.0, 0.2, false, VtTarget::Embeddings));
    }

    #[test]
    fn mistakes_are_named() {
        for (setting, named) in [
            ("epochs=3", "no such field"),
            ("optimiser.epochs", "no '='"),
            ("optimiser.epochs=many", "invalid type"),
            ("optimiser.epochs=0", "optimiser.epochs is 0"),
            ("head.streams=a/b", "give names of streams"),
            (
                "head.streams=both,motion",
                "head.streams is \"both,motion\": \"both\" is not the name of a stream",
            ),
            ("head.streams=[\"both\"]", "head.streams is [\"both\"]: \"both\" is not the name of a stream"),
            ("head.streams=null", "head.streams is null: give names of streams"),
            ("loss.alpha=-1", "loss.alpha is -1"),
            ("loss.scale_bound=0", "loss.scale_bound is 0"),
            ("optimiser.adamw.beta2=1", "optimiser.adamw.beta2 is 1"),
            ("optimiser.adamw.eps=0", "optimiser.adamw.eps is 0"),
            ("optimiser.clip_norm=0", "optimiser.clip_norm is 0"),
            ("optimiser.micro_batches=0", "optimiser.micro_batches is 0"),
            ("optimiser.lr_floor=1", "optimiser.lr_floor is 1"),
            ("patience=0", "patience is 0"),
            ("language_model.dropout=1.5", "language_model.dropout is 1.5"),
            ("language_model.dtype=f16", "language_model.dtype is \"f16\""),
        ] {
            let error = with(TrainConfig::default(), &[setting]).unwrap_err();
            assert!(error.contains(named) && !error.contains('\n'), "{setting}: {error}");
        }
    }

    #[test]
    fn what_changes_nothing_is_refused() {
        for (settings, field) in [
            (&["head.streams=spatial", "shuffle_mouthing=true"][..], "shuffle_mouthing"),
            (&["head.streams=spatial", "head.project_mouth=false"], "head.project_mouth"),
            (&["head.streams=mouthing", "head.fusion=gate"], "head.fusion"),
            (&["head.streams=spatial", "loss.beta=0.5"], "loss.beta"),
            (&["head.streams=spatial", "head.gate_layers=1"], "head.gate_layers"),
            (&["loss.beta=0", "loss.sm_frames=true"], "loss.sm_frames"),
            (&["loss.alpha=0", "loss.vt_target=encoder"], "loss.vt_target"),
            (&["loss.alpha=0", "loss.beta=0", "loss.symmetric=true"], "loss.symmetric"),
            (&["loss.vt_text_tokens=128"], "loss.vt_text_tokens"),
            (&["head.conv=same", "head.norm_over=all"], "head.norm_over"),
            (&["optimiser.decay=constant", "optimiser.lr_floor=0.1"], "optimiser.lr_floor"),
        ] {
            let error = with(TrainConfig::default(), settings).unwrap_err();
            assert!(
                error.contains(&format!("{field} is set and changes nothing: ")),
                "{settings:?}: {error}"
            );
            assert!(!error.contains('\n'), "{error}");
        }
        // What says that something is off, and what another preset brings.
        for settings in [
            &["head.streams=spatial", "loss.beta=0"][..],
            &["head.streams=mouthing", "shuffle_mouthing=true"],
            &["head.streams=mouthing", "head.project_mouth=false"],
            &["head.streams=spatial", "shuffle_mouthing=false"],
        ] {
            assert!(with(TrainConfig::default(), settings).is_ok(), "{settings:?}");
        }
        assert!(with(TrainConfig::authors(), &["head.streams=spatial"]).is_ok());
    }

    /// What a run wrote down may be given to another one; a part of it is what somebody chose.
    #[test]
    fn a_file_of_all_settings_is_nobodys_choice() -> Result<()> {
        let place = tempfile::tempdir().map_err(Error::io("a temporary folder"))?;
        let file = place.path().join("settings.json");
        let alone = with(TrainConfig::tiny(), &["head.streams=spatial"]).expect("settings");
        std::fs::write(&file, json::pretty(&alone)?).map_err(Error::io(&file))?;
        assert_eq!(TrainConfig::default().with(Some(&file), &[])?, alone);
        let text = r#"{"head": {"streams": "spatial", "fusion": "addition"}}"#;
        std::fs::write(&file, text).map_err(Error::io(&file))?;
        let error = TrainConfig::default().with(Some(&file), &[]).unwrap_err().to_string();
        assert!(error.contains("head.fusion is set and changes nothing"), "{error}");
        Ok(())
    }

    /// A preset's adapter is not the user's where another tuning is chosen.
    #[test]
    fn a_presets_adapter_goes_with_its_tuning() {
        let small = ["language_model.path=tiny", "language_model.tuning=full"];
        assert!(with(TrainConfig::spamo(), &small).is_ok());
        let error = with(TrainConfig::spamo(), &[small[0], small[1], "language_model.lora.r=4"]).unwrap_err();
        assert!(error.contains("language_model.lora is set"), "{error}");
    }
}
