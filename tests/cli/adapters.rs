//! Adapters of every kind: followed as PEFT follows them, or refused by the name of the field.

use crate::corpus::{copy, empty};
use crate::hugging_face::{merged_is_base_with_adapter, train, write_model, write_model_of};
use crate::language_model::torch_file;
use crate::program::{run, words};
use crate::real_data;
use serde_json::{Value, json};
use signclip_common::safetensors_file::SafetensorsFile;
use signclip_common::tensor_file::TensorFile;
use signclip_train::language::t5::T5Config;
use std::path::Path;

const MODEL: &str = "weights/flan-t5-xl";

/// `language_model.adapter=adapter`, nothing trained.
fn begin_with(place: &Path, adapter: &str) -> crate::program::Done {
    train(place, "begun", &format!("--check --set language_model.adapter={adapter}"))
}

fn json_of(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).expect("a file")).expect("JSON")
}

/// Adapters that PEFT made of a model that is not here. Those that are a part of their base model's weights, or work
/// behind some tokens only, are refused before any tensor is looked at.
#[test]
fn adapters_in_the_field() {
    let Some(data) = real_data::folder() else { return };
    let place = empty();
    write_model(&place.path().join(MODEL));
    for (kind, field) in
        [("pissa", "init_lora_weights"), ("olora", "init_lora_weights"), ("alora", "alora_invocation_tokens")]
    {
        let folder = data.join("field/adapters").join(kind);
        if !folder.is_dir() {
            println!("skipped: no {}", folder.display());
            continue;
        }
        let done = begin_with(place.path(), &folder.display().to_string());
        done.refuses(&[&["adapter_config.json", field, "is not supported"]]);
        assert!(!place.path().join("begun").exists(), "a run was begun");
    }
}

/// A safetensors file of float32 with one tensor more.
fn with_tensor(file: &[u8], name: &str, (shape, bytes): &(Vec<usize>, Vec<u8>)) -> Vec<u8> {
    let length = u64::from_le_bytes(file[..8].try_into().expect("8 bytes")) as usize;
    let (header, data) = file[8..].split_at(length);
    let mut header: Value = serde_json::from_slice(header).expect("JSON");
    let offsets = [data.len(), data.len() + bytes.len()];
    header[name] = json!({ "dtype": "F32", "shape": shape, "data_offsets": offsets });
    let header = header.to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data, bytes].concat()
}

#[test]
fn fields_and_values_of_an_adapter() {
    let place = empty();
    let at = |name: &str| place.path().join(name);
    write_model(&at(MODEL));
    train(place.path(), "run", "--set optimiser.epochs=1").exits(0);
    let file = at("run/adapter/adapter_config.json");
    let plain = json_of(&file);
    let with = |field: &str, value: Value| {
        let mut json = plain.clone();
        json[field] = value;
        std::fs::write(&file, json.to_string()).expect("a configuration");
        begin_with(place.path(), "run/adapter")
    };
    for value in [json!(true), json!(false), json!("gaussian"), json!("eva"), json!("orthogonal")] {
        with("init_lora_weights", value).exits(0);
    }
    with("a_field_of_the_future", json!(null)).exits(0);
    for value in ["pissa", "pissa_niter_16", "olora", "corda", "loftq", "lora_ga"] {
        with("init_lora_weights", json!(value)).refuses(&[&["init_lora_weights", value, "merge_and_unload"]]);
    }
    for (field, value) in [
        ("a_field_of_the_future", json!({ "on": true })),
        ("alora_invocation_tokens", json!([5, 6])),
        ("use_dora", json!(true)),
        ("modules_to_save", json!(["lm_head"])),
        ("trainable_token_indices", json!([3])),
        ("r", json!(2.5)),
    ] {
        with(field, value).refuses(&[&["adapter_config.json", field]]);
    }
    std::fs::write(&file, plain.to_string()).expect("a configuration");
    // The update of an embedding table is of another kind.
    let file_of_tensors = at("run/adapter/adapter_model.safetensors");
    let linear = std::fs::read(&file_of_tensors).expect("its weights");
    let table = (vec![4_usize, 128], vec![0_u8; 4 * 128 * 4]);
    std::fs::write(
        &file_of_tensors,
        with_tensor(&linear, "base_model.model.shared.lora_embedding_A", &table),
    )
    .expect("written");
    begin_with(place.path(), "run/adapter").refuses(&[&[
        "adapter_model.safetensors",
        "shared.lora_embedding_A",
        "merge_and_unload",
    ]]);
    std::fs::write(&file_of_tensors, linear).expect("written");
    // PEFT before 0.6 wrote a pickle.
    let stored = SafetensorsFile::open(&at("run/adapter/adapter_model.safetensors")).expect("its weights");
    let tensor = |name: &str| (name.to_owned(), stored.tensor(name).expect("present").expect("readable"));
    let tensors = stored.names().map(tensor).collect();
    std::fs::create_dir(at("old")).expect("a folder");
    std::fs::copy(&file, at("old/adapter_config.json")).expect("a copy");
    std::fs::write(at("old/adapter_model.bin"), torch_file(&tensors)).expect("weights");
    begin_with(place.path(), "old").exits(0);
    std::fs::rename(at("run/adapter/adapter_model.safetensors"), at("moved")).expect("renamed");
    begin_with(place.path(), "run/adapter").refuses(&[&["run/adapter", "no adapter_model.safetensors here"]]);
    begin_with(place.path(), MODEL).refuses(&[&["no adapter_config.json and no adapter_model.safetensors"]]);
}

#[test]
fn an_adapter_where_none_is_trained() {
    let place = empty();
    write_model(&place.path().join(MODEL));
    for tuning in ["full", "frozen"] {
        let more = format!("--set language_model.tuning={tuning} --set language_model.adapter=some");
        train(place.path(), "run", &more).refuses(&[&["language_model.adapter", tuning]]);
        let more = format!("--set language_model.tuning={tuning} --set language_model.lora.r=4");
        train(place.path(), "run", &more).refuses(&[&["language_model.lora", tuning]]);
    }
    let more = "--set language_model.adapter=some --set language_model.lora.r=4";
    train(place.path(), "run", more).refuses(&[&["language_model.lora", "language_model.adapter"]]);
}

/// The weights of a run that began with an adapter count by its scale, which is in the adapter's file alone.
#[test]
fn weights_of_another_scale() {
    let place = empty();
    let at = |name: &str| place.path().join(name);
    write_model(&at(MODEL));
    let one = "--set optimiser.epochs=1";
    train(place.path(), "run", one).exits(0);
    copy(&at("run/adapter"), &at("stable"));
    let file = at("stable/adapter_config.json");
    let mut stable = json_of(&file);
    stable["use_rslora"] = true.into();
    std::fs::write(&file, stable.to_string()).expect("a configuration");
    let begin = "--set language_model.adapter=stable";
    train(place.path(), "first", &format!("{one} {begin}")).exits(0);
    let from = |more: &str| train(place.path(), "second", &format!("{one} --from first {more}"));
    for more in ["", "--set language_model.adapter=run/adapter"] {
        from(more).refuses(&[&["first", "language_model.lora.use_rslora", "true", "false"]]);
    }
    from(begin).exits(0).says(&["beginning with the weights of"]);
}

/// PEFT's word for every linear layer but the output; its older versions do not know it, so that names are written.
#[test]
fn all_linear() {
    let place = empty();
    write_model(&place.path().join(MODEL));
    let one = "--set optimiser.epochs=1";
    train(place.path(), "run", &format!("{one} --set language_model.lora.targets=all-linear")).exits(0);
    let folder = place.path().join("run/adapter");
    let targets = json_of(&folder.join("adapter_config.json"))["target_modules"].clone();
    assert_eq!(targets, json!(["q", "k", "v", "o", "wi_0", "wi_1", "wo"]));
    let stored = SafetensorsFile::open(&folder.join("adapter_model.safetensors")).expect("its weights");
    // Three blocks of an encoder (4 and 3 matrices) and of a decoder (8 and 3), each with A and B.
    assert_eq!(stored.names().count(), 2 * 3 * (7 + 11));
    assert!(stored.names().all(|name| !name.contains("lm_head")));
}

/// An output layer that shares its weight with the embeddings gets one of its own in the exported model; the embeddings
/// stay as they were.
#[test]
fn an_adapter_on_a_tied_output_layer() {
    for scale in [None, Some(false)] {
        let place = empty();
        let at = |name: &str| place.path().join(name);
        let tied = T5Config { tie_word_embeddings: true, ..T5Config::tiny(128) };
        let base = write_model_of(&at(MODEL), &tied);
        let config = T5Config { scale_decoder_outputs: scale, ..tied };
        std::fs::write(at(MODEL).join("config.json"), serde_json::to_string(&config).expect("JSON"))
            .expect("a configuration");
        assert!(base.iter().all(|(name, _)| name != "lm_head.weight"));
        let targets = r#"--set language_model.lora.targets=["q","lm_head"] --set optimiser.lr_language=0.01"#;
        train(place.path(), "run", targets).exits(0);
        run(place.path(), "evaluate", words("export run --out merged")).exits(0);
        merged_is_base_with_adapter(place.path());
        let merged = TensorFile::open(&at("merged/model.safetensors")).expect("a model");
        let tensor = |name: &str| merged.tensor(name).expect("present").expect("readable");
        let shared = base.iter().find(|(name, _)| name == "shared.weight").expect("embeddings");
        assert_eq!(tensor("shared.weight"), shared.1);
        assert_ne!(tensor("lm_head.weight"), shared.1);
        let config = json_of(&at("merged/config.json"));
        assert_eq!((&config["tie_word_embeddings"], &config["d_model"]), (&json!(false), &json!(128)));
    }
}
