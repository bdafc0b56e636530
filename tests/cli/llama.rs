//! A Llama from a Hugging Face folder: trained with an adapter, killed, on two devices, exported, and folders with something
//! wrong.

use crate::corpus::{empty, features};
use crate::hugging_face::write_folder;
use crate::program::{Done, run, words};
use serde_json::{Value, json};
use signclip_common::safetensors_file::{self, SafetensorsFile};
use signclip_common::weights::Weights;
use signclip_common::{atomic, tensor_file};
use signclip_train::language::adapter;
use signclip_train::language::family::{LanguageConfig, Tiny};
use signclip_train::language::llama::{Llama, LlamaConfig};
use signclip_train::language::tuning::Tuning;
use signclip_train::training::checkpoint;
use signclip_train::training::model::Named;
use std::collections::BTreeMap;
use std::path::Path;
use tch::{Device, Kind, Tensor, no_grad};

const MODEL: &str = "weights/llama";

/// The folder of a small Llama, with an output layer of its own or not.
fn write_llama(folder: &Path, tied: bool) -> Named {
    let llama = LlamaConfig { tie_word_embeddings: tied, ..LlamaConfig::tiny(128) };
    let config = LanguageConfig::Llama(llama);
    let json = config.to_json().expect("JSON").to_string();
    write_folder(folder, &config, Tiny::Llama, &json)
}

fn train(place: &Path, name: &str, more: &str) -> Done {
    train_on("cpu", place, name, more)
}

fn train_on(devices: &str, place: &Path, name: &str, more: &str) -> Done {
    let settings = "--set head.streams=spatial --set head.d=32 --set optimiser.epochs=2 --set decoding.num_beams=2 \
        --set decoding.max_length=12 --set language_model.path=llama --set optimiser.lr_language=0.01";
    let line = format!(
        "--features {} --run {name} --gpus {devices} --weights weights {settings} {more}",
        features().display()
    );
    run(place, "train", words(&line))
}

fn json_of(file: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(file).expect("a file")).expect("JSON")
}

/// Logits of the model in `folder`, with an adapter where one is given.
fn logits(folder: &Path, adapter: Option<&Path>) -> Tensor {
    let LanguageConfig::Llama(config) = LanguageConfig::read(folder).expect("a configuration") else {
        panic!("{}: no Llama", folder.display())
    };
    let adapter = adapter.map(|folder| adapter::open(folder, Device::Cpu).expect("an adapter"));
    let tuning = adapter.as_ref().map_or(Tuning::Frozen, |(lora, weights)| Tuning::Lora(lora, weights));
    let weights = Weights::open(folder, Device::Cpu, Kind::Float).expect("weights");
    let llama = Llama::load(&weights, &config, tuning).expect("a model");
    let ids = Tensor::arange(12, (Kind::Int64, Device::Cpu)).view([2, 6]) + 3;
    no_grad(|| llama.logits(&llama.forward(&llama.embed(&ids), &ids.ones_like(), false), false))
}

/// The merged model computes without the adapter what base and adapter compute together.
#[track_caller]
fn merged_is_base_with_adapter(place: &Path) {
    let adapted = logits(&place.join(MODEL), Some(&place.join("run/adapter")));
    let [base, merged] = [MODEL, "merged"].map(|folder| logits(&place.join(folder), None));
    let gap = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]);
    assert!(gap(&adapted, &merged) < 1e-4, "{}", gap(&adapted, &merged));
    assert!(gap(&base, &merged) > 1e-2, "the adapter changes nothing: {}", gap(&base, &merged));
}

#[test]
fn adapters_on_a_frozen_llama() {
    let place = empty();
    write_llama(&place.path().join(MODEL), false);
    train(place.path(), "run", "").exits(0);
    run(place.path(), "evaluate", words("--run run --gpus cpu")).exits(0).says(&["BLEU-4"]);
    let config = json_of(&place.path().join("run/adapter/adapter_config.json"));
    assert_eq!(config["task_type"], "CAUSAL_LM");
    assert_eq!(config["target_modules"], json!(["q_proj", "v_proj", "gate_proj", "up_proj", "down_proj"]));
    let stored = SafetensorsFile::open(&place.path().join("run/adapter/adapter_model.safetensors"));
    let names: Vec<String> = stored.expect("its weights").names().map(str::to_owned).collect();
    // Five layers in each of three blocks, each with A and B.
    assert_eq!(names.len(), 2 * 3 * 5);
    let name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";
    assert!(names.iter().any(|n| n == name), "{names:?}");
    run(place.path(), "evaluate", words("export run --out merged")).exits(0);
    merged_is_base_with_adapter(place.path());
    // The other settings: the prompt before, recomputation, bfloat16, no adapter at all; nothing is left to train.
    train(place.path(), "run", "").exits(0).says(&["resuming after epoch 2 of 2"]);
    let other = "--set text.prompt_first=true --set optimiser.recompute=true --set language_model.dtype=bf16 \
        --set language_model.lora.targets=all-linear";
    train(place.path(), "other", other).exits(0);
    train(place.path(), "full", "--set language_model.tuning=full").exits(0);
    train(place.path(), "frozen", "--set language_model.tuning=frozen").exits(0);
}

/// Two devices, and a run that is cut off in its middle.
#[test]
fn devices_and_resuming() {
    let place = empty();
    write_llama(&place.path().join(MODEL), true);
    let steps = "--set optimiser.batch_size=2 --set checkpoint_every=2 --set language_model.lora.dropout=0";
    train(place.path(), "whole", steps).exits(0);
    let newest = |run: &str| {
        let file =
            checkpoint::all(&place.path().join(run)).expect("checkpoints").pop().expect("a checkpoint");
        (checkpoint::load(&file).unwrap_or_else(|e| panic!("{e}")).0, file)
    };
    train(place.path(), "cut", steps).exits(0);
    std::fs::remove_file(newest("cut").1).expect("removed");
    train(place.path(), "cut", steps).exits(0);
    let (whole, cut) = (newest("whole").0, newest("cut").0);
    assert_eq!(whole.keys().collect::<Vec<_>>(), cut.keys().collect::<Vec<_>>());
    whole.iter().for_each(|(name, tensor)| assert_eq!(*tensor, cut[name], "{name}"));
    let losses = |run: &str| -> Vec<f64> {
        let text = std::fs::read_to_string(place.path().join(run).join("log.jsonl")).expect("a log");
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        lines.filter_map(|line| line["loss"].as_f64()).collect()
    };
    // Equal but for rounding, which is coarse in bfloat16.
    let slow =
        "--set language_model.dtype=f32 --set optimiser.lr_visual=5e-5 --set optimiser.lr_language=1e-4";
    train(place.path(), "one", &format!("{steps} {slow}")).exits(0);
    train_on("cpu,cpu", place.path(), "two", &format!("{steps} {slow}")).exits(0);
    let (one, two) = (losses("one"), losses("two"));
    assert_eq!((one.len(), two.len()), (12, 12));
    assert!(one.iter().zip(&two).all(|(a, b)| (a - b).abs() < 1e-4), "{one:?}\n{two:?}");
}

/// An output layer that shares its weight with the embeddings gets one of its own in the exported model.
#[test]
fn an_adapter_on_a_tied_output_layer() {
    let place = empty();
    let base = write_llama(&place.path().join(MODEL), true);
    train(place.path(), "run", r#"--set language_model.lora.targets=["q_proj","lm_head"]"#).exits(0);
    run(place.path(), "evaluate", words("export run --out merged")).exits(0);
    merged_is_base_with_adapter(place.path());
    let merged =
        tensor_file::TensorFile::open(&place.path().join("merged/model.safetensors")).expect("a model");
    let tensor = |name: &str| merged.tensor(name).expect("present").expect("readable");
    let table = base.iter().find(|(name, _)| name == "model.embed_tokens.weight").expect("embeddings");
    assert_eq!(tensor("model.embed_tokens.weight"), table.1);
    assert_ne!(tensor("lm_head.weight"), table.1);
    assert_eq!(json_of(&place.path().join("merged/config.json"))["tie_word_embeddings"], false);
}

/// Writes tensors as `model.safetensors` shards of the folder, half of them in each, and the table of the shards.
fn write_shards(folder: &Path, tensors: &Named) {
    let (first, second) = tensors.split_at(tensors.len() / 2);
    let mut weight_map = BTreeMap::new();
    for (i, part) in [first, second].into_iter().enumerate() {
        let name = format!("model-0000{}-of-00002.safetensors", i + 1);
        let table: Vec<_> = part.iter().map(|(name, t)| (name.clone(), t.kind(), t.size())).collect();
        atomic::write_with(&folder.join(&name), |file| {
            safetensors_file::write(file, &[], &table, |i| Ok(part[i].1.detach()))
        })
        .expect("a shard");
        weight_map.extend(part.iter().map(|(tensor, _)| (tensor.clone(), name.clone())));
    }
    let index = json!({ "metadata": {}, "weight_map": weight_map }).to_string();
    std::fs::write(folder.join("model.safetensors.index.json"), index).expect("an index");
    std::fs::remove_file(folder.join("model.safetensors")).expect("removed");
}

#[test]
fn a_folder_with_something_wrong() {
    let place = empty();
    let folder = place.path().join(MODEL);
    let tensors = write_llama(&folder, false);
    let config = json_of(&folder.join("config.json"));
    let check = |more: &str| train(place.path(), "run", &format!("--check {more}"));
    let with = |field: &str, value: Value| {
        let mut config = config.clone();
        config[field] = value;
        std::fs::write(folder.join("config.json"), config.to_string()).expect("a configuration");
        check("")
    };
    let mut scaling = config["rope_scaling"].clone();
    scaling["rope_type"] = "yarn".into();
    with("rope_scaling", scaling).refuses(&[&[
        "llama/config.json, rope_scaling.rope_type",
        "yarn",
        "llama3",
    ]]);
    with("tie_word_embeddings", true.into())
        .refuses(&[&["config.json, tie_word_embeddings", "lm_head.weight"]]);
    with("quantization_config", json!({ "quant_method": "gptq", "bits": 4 })).refuses(&[&[
        "config.json, quantization_config",
        "gptq",
        "bfloat16",
    ]]);
    with("vocab_size", 8.into()).refuses(&[&["llama/tokenizer.json", "the language model has 8"]]);
    with("vocab_size", 100_000.into()).refuses(&[&["llama/tokenizer.json", "the language model has 100000"]]);
    with("bos_token_id", 5.into()).refuses(&[&["llama/tokenizer.json", "the id 5 is not a special token"]]);
    with("intermediate_size", 512.into()).refuses(&[&["weights/llama", "gate_proj", "another architecture"]]);
    with("model_type", "mistral".into()).refuses(&[&["model_type", "\"mistral\"", "Llama 3, 3.1 or 3.2"]]);
    with("model_type", "llama".into()).exits(0);
    check("--set text.chat=true").refuses(&[&["llama/tokenizer.json", "text.chat", "instruct model"]]);
    write_shards(&folder, &tensors);
    check("").exits(0);
    std::fs::remove_file(folder.join("model-00002-of-00002.safetensors")).expect("removed");
    check("").refuses(&[&["weights/llama", "model-00002-of-00002.safetensors", "download"]]);
}

/// The tokenizer and the configuration of an instruct model.
#[test]
fn the_chat_format() {
    let place = empty();
    let folder = place.path().join(MODEL);
    write_llama(&folder, false);
    let file = folder.join("tokenizer.json");
    let mut tokenizer = json_of(&file);
    let words = tokenizer["model"]["vocab"].as_object().expect("a vocabulary").len();
    let tokens = ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"];
    for (id, token) in (words..).zip(tokens) {
        tokenizer["model"]["vocab"][token] = id.into();
        let added = json!({ "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true });
        tokenizer["added_tokens"].as_array_mut().expect("a list").push(added);
    }
    std::fs::write(&file, tokenizer.to_string()).expect("a tokenizer");
    let chat = "--set text.chat=true --set optimiser.epochs=1";
    train(place.path(), "run", chat).refuses(&[&["text.chat", "eos_token_id"]]);
    let mut config = json_of(&folder.join("config.json"));
    config["eos_token_id"] = json!([1, words + 2]);
    std::fs::write(folder.join("config.json"), config.to_string()).expect("a configuration");
    train(place.path(), "run", chat).exits(0);
    run(place.path(), "evaluate", crate::program::words("--run run --gpus cpu")).exits(0);
}
