//! A language model from a Hugging Face folder, adapted by LoRA: the paper's recipe on a small scale.

use crate::corpus::{empty, features, store};
use crate::program::{Done, run, words};
use signclip_common::safetensors_file::SafetensorsFile;
use signclip_common::weights::Weights;
use signclip_train::config::TrainConfig;
use signclip_train::language::family::{LanguageConfig, Tiny};
use signclip_train::language::t5::{T5, T5Config};
use signclip_train::language::tuning::Tuning;
use signclip_train::language::{LanguageModel, adapter};
use signclip_train::training::checkpoint;
use signclip_train::training::model::Named;
use std::path::Path;
use tch::{Device, Kind, Tensor, no_grad};

/// A folder with `config.json`, `tokenizer.json` and `model.safetensors` of a small T5.
pub(crate) fn write_model(folder: &Path) -> Named {
    write_model_of(folder, &T5Config::tiny(128))
}

/// The same of this architecture.
pub(crate) fn write_model_of(folder: &Path, config: &T5Config) -> Named {
    let json = serde_json::to_string(config).expect("JSON");
    write_folder(folder, &LanguageConfig::T5(config.clone()), Tiny::T5, &json)
}

/// The same of any family, with this `config.json`.
pub(crate) fn write_folder(folder: &Path, config: &LanguageConfig, tiny: Tiny, json: &str) -> Named {
    std::fs::create_dir_all(folder).expect("a folder");
    let train = store(features(), "train");
    let prompt = "Translate the given sentence into German.";
    let sentences: Vec<String> =
        train.clips.iter().filter_map(|c| c.facts.text.as_ref().map(|t| format!("{t}."))).collect();
    let tokenizer = tiny.tokenizer(sentences.iter().map(String::as_str).chain([prompt]));
    std::fs::write(folder.join("tokenizer.json"), tokenizer).expect("a tokenizer");
    std::fs::write(folder.join("config.json"), json).expect("a configuration");
    let weights = Weights::fresh(7, Device::Cpu, Kind::Float);
    LanguageModel::load(&weights, config, Tuning::Full).expect("a model");
    let tensors = weights.parameters();
    let (file, progress) = (folder.join("model.safetensors"), checkpoint::Progress::default());
    checkpoint::save(&file, &tensors, &progress, &TrainConfig::default()).expect("weights");
    tensors
}

pub(crate) fn train(place: &Path, name: &str, more: &str) -> Done {
    let settings =
        "--set head.streams=spatial --set head.d=32 --set optimiser.epochs=2 --set decoding.num_beams=2";
    let line = format!(
        "--features {} --run {name} --gpus cpu --weights weights {settings} {more}",
        features().display()
    );
    run(place, "train", words(&line))
}

#[test]
fn adapters_on_a_frozen_model() {
    let place = empty();
    let base = write_model(&place.path().join("weights/flan-t5-xl"));
    train(place.path(), "run", "--set optimiser.lr_language=0.01").exits(0);
    let best = place.path().join("run/best.safetensors");
    let (tensors, _) = checkpoint::load(&best).expect("a checkpoint");
    // Only the adapters of the language model are kept: its own weights did not change.
    let language: Vec<&String> = tensors.keys().filter(|k| k.starts_with("language.")).collect();
    assert!(!language.is_empty() && language.iter().all(|k| k.contains(".lora_")), "{language:?}");
    assert!(base.iter().all(|(name, _)| !tensors.contains_key(&format!("language.{name}"))));
    let moved =
        |k: &&&String| k.contains("lora_B") && tensors[k.as_str()].abs().max().double_value(&[]) > 0.0;
    assert!(language.iter().filter(moved).count() > 0, "no adapter has moved");
    run(place.path(), "evaluate", words("--run run --gpus cpu")).exits(0).says(&["BLEU-4"]);
    // The adapter is written for PEFT as well, equal to the checkpoint's, and another run can begin with it.
    let stored = SafetensorsFile::open(&place.path().join("run/adapter/adapter_model.safetensors"));
    let stored = stored.expect("its weights");
    assert_eq!(stored.names().count(), language.len());
    for name in stored.names() {
        let tensor = stored.tensor(name).expect("present").expect("readable");
        assert_eq!(tensor, tensors[&format!("language.{name}")], "{name}");
    }
    run(place.path(), "evaluate", words("export run --out merged")).exits(0).says(&["merged"]);
    merged_is_base_with_adapter(place.path());
    let export = |line: &str| run(place.path(), "evaluate", words(line));
    export("export run --out merged").refuses(&[&["merged", "not empty"]]);
    // What kills leave: in the middle, and before the last step.
    let merged = std::fs::read(place.path().join("merged/model.safetensors")).expect("a model");
    std::fs::create_dir(place.path().join("killed.unfinished")).expect("a folder");
    for (file, bytes) in [(".lock-export", &b""[..]), ("model.safetensors.00ff.tmp", b"half")] {
        std::fs::write(place.path().join("killed.unfinished").join(file), bytes).expect("written");
    }
    std::fs::create_dir(place.path().join("late")).expect("a folder");
    std::fs::write(place.path().join("late/.lock-export"), "").expect("written");
    for out in ["killed", "late"] {
        export(&format!("export run --out {out}")).exits(0);
        let folder = place.path().join(out);
        assert_eq!(std::fs::read(folder.join("model.safetensors")).expect("a model"), merged, "{out}");
        assert!(
            !folder.join(".lock-export").exists() && !place.path().join(format!("{out}.unfinished")).exists()
        );
    }
    std::fs::create_dir(place.path().join("own.unfinished")).expect("a folder");
    std::fs::write(place.path().join("own.unfinished/mine"), "").expect("written");
    export("export run --out own").refuses(&[&["own.unfinished", "in the way"]]);
    export("export nowhere --out other").refuses(&[&["nowhere", "no run here"]]);
    let from = "--set language_model.adapter=run/adapter --set optimiser.lr_language=0";
    train(place.path(), "again", from).exits(0);
    let (again, _) = checkpoint::load(&place.path().join("again/best.safetensors")).expect("a checkpoint");
    language.iter().for_each(|name| assert_eq!(again[*name], tensors[*name], "{name}"));
    // The run keeps what it began from.
    std::fs::rename(place.path().join("run/adapter"), place.path().join("moved")).expect("renamed");
    run(place.path(), "evaluate", words("--run again --gpus cpu")).exits(0);
    train(place.path(), "again", from).exits(0);
    train(place.path(), "none", "--set language_model.adapter=nowhere")
        .refuses(&[&["nowhere", "adapter_config.json"]]);
    // In bf16 as well, into a run of its own.
    train(place.path(), "bf16", "--set language_model.dtype=bf16").exits(0);
}

/// The merged model computes without the adapter what base and adapter compute together.
pub(crate) fn merged_is_base_with_adapter(place: &Path) {
    let open = |folder: &str| Weights::open(&place.join(folder), Device::Cpu, Kind::Float).expect("weights");
    let config = |folder: &str| {
        T5Config::parse(
            &std::fs::read_to_string(place.join(folder).join("config.json")).expect("a file"),
            place,
        )
        .expect("a configuration")
    };
    let (lora, adapter) = adapter::open(&place.join("run/adapter"), Device::Cpu).expect("an adapter");
    let tuning = Tuning::Lora(&lora, &adapter);
    let adapted = T5::load(&open("weights/flan-t5-xl"), &config("weights/flan-t5-xl"), tuning)
        .expect("base and adapter");
    let base = T5::load(&open("weights/flan-t5-xl"), &config("weights/flan-t5-xl"), Tuning::Frozen)
        .expect("the base");
    let merged = T5::load(&open("merged"), &config("merged"), Tuning::Frozen).expect("the merged model");
    let [adapted, base, merged] = [adapted, base, merged].map(|t5| {
        let ids = Tensor::arange(12, (Kind::Int64, Device::Cpu)).view([2, 6]) + 3;
        let mask = ids.ones_like();
        no_grad(|| t5.decode(&ids, &t5.encode(&t5.embed(&ids), &mask, false), &mask, false))
    });
    let gap = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]);
    assert!(gap(&adapted, &merged) < 1e-4, "{}", gap(&adapted, &merged));
    assert!(gap(&base, &merged) > 1e-2, "the adapter changes nothing: {}", gap(&base, &merged));
}

#[test]
fn a_folder_with_something_wrong() {
    let place = empty();
    let folder = place.path().join("weights/flan-t5-xl");
    write_model(&folder);
    let config = std::fs::read_to_string(folder.join("config.json")).expect("a configuration");
    let with = |from: &str, to: &str| {
        assert!(config.contains(from), "{config}");
        std::fs::write(folder.join("config.json"), config.replace(from, to)).expect("a configuration");
    };
    with("\"d_ff\":256", "\"d_ff\":512");
    train(place.path(), "run", "").refuses(&[&["flan-t5-xl", "wi_0", "another architecture"]]);
    with("gated-gelu", "relu");
    train(place.path(), "run", "").refuses(&[&["config.json", "feed_forward_proj"]]);
    with("\"vocab_size\":128", "\"vocab_size\":8");
    train(place.path(), "run", "").refuses(&[&["tokenizer", "8"]]);
    with("\"vocab_size\":128", "\"vocab_size\":32128");
    train(place.path(), "run", "").refuses(&[&["tokenizer", "32128", "language model's own folder"]]);
    with("\"vocab_size\":128", "\"vocab_size\":128");
    std::fs::write(folder.join("tokenizer.json"), "{").expect("a broken tokenizer");
    train(place.path(), "run", "").refuses(&[&["tokenizer.json"]]);
    std::fs::remove_file(folder.join("tokenizer.json")).expect("removed");
    train(place.path(), "run", "").refuses(&[&["tokenizer.json", "no tokenizer"]]);
}
