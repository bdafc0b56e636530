//! The folder of a language model in the forms in which people have it, and sentences that the model cannot write.

use crate::corpus::empty;
use crate::hugging_face::{merged_is_base_with_adapter, train, write_model, write_model_of};
use crate::program::{run, words};
use crate::real_data;
use signclip_common::manifest::TextRules;
use signclip_common::store::{ClipFacts, FORMAT, RowRule, StoreDtype, StoreInfo, StoreWriter, StreamInfo};
use signclip_train::config::TrainConfig;
use signclip_train::data::corpus::Corpus;
use signclip_train::head::streams::Streams;
use signclip_train::language::beam_search::BeamSearchConfig;
use signclip_train::language::t5::{T5Config, word_tokenizer};
use signclip_train::language::text::Text;
use signclip_train::training::model::Named;
use signclip_train::training::unwritable::Unwritable;
use std::collections::BTreeMap;
use std::path::Path;
use tch::Tensor;

const MODEL: &str = "weights/flan-t5-xl";

/// A dictionary of float32 tensors as `torch.save` wrote it before PyTorch 1.6.
pub(crate) fn torch_file(tensors: &Named) -> Vec<u8> {
    let numbers = |values: &[i64]| values.iter().map(|n| format!("I{n}\n")).collect::<String>();
    let item = |(i, (name, tensor)): (usize, &(String, Tensor))| {
        let (sizes, strides, n) = (numbers(&tensor.size()), numbers(&tensor.stride()), tensor.numel());
        format!(
            "S'{name}'\nctorch._utils\n_rebuild_tensor_v2\n((S'storage'\nctorch\nFloatStorage\nS'{i}'\nS'cpu'\nI{n}\ntQ\
             I0\n({sizes}t({strides}tI00\nNtR"
        )
    };
    let mut file =
        b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.\x80\x02}("
            .to_vec();
    file.extend(tensors.iter().enumerate().map(item).collect::<String>().bytes());
    file.extend_from_slice(b"u.\x80\x02](");
    file.extend((0..tensors.len()).map(|i| format!("S'{i}'\n")).collect::<String>().bytes());
    file.extend_from_slice(b"e.");
    for (_, tensor) in tensors {
        file.extend((tensor.numel() as u64).to_le_bytes());
        let values = Vec::<f32>::try_from(tensor.detach().reshape(-1)).expect("float32");
        file.extend(values.iter().flat_map(|x| x.to_le_bytes()));
    }
    file
}

/// `config.json` says which family a model is of; one that is not built in is named.
#[test]
fn a_model_of_another_family_is_refused() {
    let place = empty();
    write_model(&place.path().join(MODEL));
    let file = place.path().join(MODEL).join("config.json");
    let text = std::fs::read_to_string(&file).expect("a configuration");
    for (model_type, parts) in
        [("mt5", None), ("gemma", Some(["\"gemma\"", "model_type", "T5 1.1, Flan-T5 or mT5"]))]
    {
        std::fs::write(&file, text.replacen('{', &format!("{{\"model_type\": \"{model_type}\", "), 1))
            .expect("written");
        let done = train(place.path(), model_type, "--check");
        match parts {
            None => drop(done.exits(0)),
            Some(parts) => done.refuses(&[&[&["flan-t5-xl/config.json"], &parts[..]].concat()]),
        }
    }
}

/// A folder with PyTorch's own files alone, whole or in shards, is read and exported like any other.
#[test]
fn weights_of_pytorch() {
    let place = empty();
    let at = |name: &str| place.path().join(name);
    let tensors = write_model(&at(MODEL));
    let safetensors = at(MODEL).join("model.safetensors");
    train(place.path(), "of-safetensors", "--set optimiser.lr_language=0.01").exits(0);
    std::fs::rename(&safetensors, at("model.safetensors")).expect("renamed");
    std::fs::write(at(MODEL).join("pytorch_model.bin"), torch_file(&tensors)).expect("weights");
    train(place.path(), "run", "--set optimiser.lr_language=0.01").exits(0);
    let adapter =
        |run: &str| std::fs::read(at(run).join("adapter/adapter_model.safetensors")).expect("a file");
    assert!(adapter("run") == adapter("of-safetensors"), "the same weights train the same adapter");
    run(place.path(), "evaluate", words("export run --out merged")).exits(0);
    merged_is_base_with_adapter(place.path());

    // In two shards, where a third file is what the clone of a hub has besides.
    std::fs::remove_file(at(MODEL).join("pytorch_model.bin")).expect("removed");
    let (first, second) = tensors.split_at(tensors.len() / 2);
    let mut weight_map = BTreeMap::new();
    for (i, part) in [first, second].into_iter().enumerate() {
        let part: Named = part.iter().map(|(name, t)| (name.clone(), t.shallow_clone())).collect();
        let name = format!("pytorch_model-0000{}-of-00002.bin", i + 1);
        std::fs::write(at(MODEL).join(&name), torch_file(&part)).expect("weights");
        weight_map.extend(part.into_iter().map(|(tensor, _)| (tensor, name.clone())));
    }
    let index = serde_json::json!({ "metadata": {}, "weight_map": weight_map }).to_string();
    std::fs::write(at(MODEL).join("pytorch_model.bin.index.json"), index).expect("an index");
    std::fs::remove_dir_all(at("merged")).expect("removed");
    run(place.path(), "evaluate", words("export run --out merged")).exits(0);
    assert!(at("merged/model.safetensors.index.json").is_file());
    assert!(!at("merged/pytorch_model.bin.index.json").exists(), "a table of files that are not there");
    merged_is_base_with_adapter(place.path());
    std::fs::remove_file(at(MODEL).join("pytorch_model-00002-of-00002.bin")).expect("removed");
    train(place.path(), "other", "").refuses(&[&["pytorch_model-00002-of-00002.bin", "missing"]]);
}

/// An mT5 as the hub serves it: PyTorch's own file, and SentencePiece's vocabulary alone.
#[test]
fn an_mt5_with_spiece_model_alone() {
    const VOCABULARY: &[u8] = include_bytes!("../../train/tests/sentencepiece/small.model");
    let place = empty();
    let folder = place.path().join(MODEL);
    // 331 pieces, with extra tokens among them.
    let tensors = write_model_of(&folder, &T5Config::tiny(384));
    std::fs::remove_file(folder.join("model.safetensors")).expect("removed");
    std::fs::write(folder.join("pytorch_model.bin"), torch_file(&tensors)).expect("weights");
    std::fs::remove_file(folder.join("tokenizer.json")).expect("removed");
    std::fs::write(folder.join("spiece.model"), VOCABULARY).expect("a vocabulary");
    let config = folder.join("config.json");
    let text = std::fs::read_to_string(&config).expect("a configuration");
    let as_mt5 = text.replacen('{', "{\"model_type\": \"mt5\", ", 1);
    std::fs::write(&config, &as_mt5).expect("written");
    let done = train(place.path(), "run", "--set optimiser.lr_language=0.01");
    done.exits(0);
    assert!(!done.stderr.contains("<unk>"), "characters without a piece are written as bytes\n{done}");
    run(place.path(), "evaluate", words("--run run --gpus cpu")).exits(0).says(&["BLEU-4"]);
    // The vocabulary is a part of what the model is, and goes along with an export.
    run(place.path(), "evaluate", words("export run --out merged")).exits(0);
    assert_eq!(std::fs::read(place.path().join("merged/spiece.model")).expect("a vocabulary"), VOCABULARY);
    std::fs::write(folder.join("spiece.model"), [VOCABULARY, &[0x0A, 3, 0x0A, 1, b'~']].concat())
        .expect("written");
    run(place.path(), "evaluate", words("--run run --gpus cpu"))
        .refuses(&[&["spiece.model", "another language model than that of the run"]]);
    // That of another model, in either way.
    for (size, part) in [(331 - 1, "its ids go up to 330"), (32_128, "the language model has 32128")] {
        std::fs::write(folder.join("spiece.model"), VOCABULARY).expect("a vocabulary");
        std::fs::write(&config, as_mt5.replace("\"vocab_size\":384", &format!("\"vocab_size\":{size}")))
            .expect("written");
        train(place.path(), "other", "").refuses(&[&["flan-t5-xl/spiece.model, vocabulary", part]]);
    }
}

/// No learning rate helps where a weight is NaN: file and tensor are named.
#[test]
fn weights_that_are_not_finite() {
    let place = empty();
    let folder = place.path().join(MODEL);
    let spoil = |(name, tensor): (String, Tensor)| match name.as_str() {
        "encoder.final_layer_norm.weight" => (name, tensor.detach() * f64::NAN),
        _ => (name, tensor),
    };
    let tensors = write_model(&folder).into_iter().map(spoil).collect();
    std::fs::remove_file(folder.join("model.safetensors")).expect("removed");
    std::fs::write(folder.join("pytorch_model.bin"), torch_file(&tensors)).expect("weights");
    train(place.path(), "run", "").refuses(&[&[
        "flan-t5-xl/pytorch_model.bin",
        "encoder.final_layer_norm.weight",
        "not finite",
    ]]);
}

#[test]
fn missing_files_of_a_folder_are_named_at_once() {
    let place = empty();
    let folder = place.path().join(MODEL);
    write_model(&folder);
    std::fs::remove_file(folder.join("tokenizer.json")).expect("removed");
    // The vocabulary in another format: how to make the file of it.
    std::fs::write(folder.join("tokenizer.model"), "a vocabulary").expect("a file");
    let command = "from_pretrained('weights/flan-t5-xl').save_pretrained('weights/flan-t5-xl')";
    train(place.path(), "run", "").refuses(&[&[MODEL, "no tokenizer.json", "tokenizer.model", command]]);
    std::fs::remove_file(folder.join("model.safetensors")).expect("removed");
    train(place.path(), "run", "").refuses(&[&[MODEL, "no tokenizer.json, no model.safetensors"]]);
    // SentencePiece's is read as it is.
    std::fs::write(folder.join("spiece.model"), "a vocabulary").expect("a file");
    train(place.path(), "run", "").refuses(&[&[MODEL, "no model.safetensors"]]);
    write_model(&folder);
    std::fs::remove_file(folder.join("tokenizer.json")).expect("removed");
    train(place.path(), "run", "").refuses(&[&[
        "flan-t5-xl/spiece.model",
        "not of SentencePiece",
        "download",
    ]]);
    std::fs::remove_file(folder.join("config.json")).expect("removed");
    train(place.path(), "run", "").refuses(&[&["flan-t5-xl", "no config.json"]]);
}

/// The sentences of a split that its model cannot write are counted before training, with an example.
#[test]
fn sentences_that_cannot_be_written() {
    let place = empty();
    write_model(&place.path().join(MODEL));
    let check = |more: &str| train(place.path(), "run", &format!("--check {more}"));
    let fine = check("");
    fine.exits(0);
    assert!(!fine.stderr.contains("sentences ("), "every word is known\n{fine}");
    check("--set decoding.max_length=4").exits(0).says(&[
        "train: 12 of 12 sentences (100.0 %) are longer than the 3 tokens",
        "--set decoding.max_length=",
    ]);
    // A vocabulary of a few words.
    let tokenizer = place.path().join(MODEL).join("tokenizer.json");
    std::fs::write(&tokenizer, word_tokenizer(["Translate the given sentence into German."].into_iter()))
        .expect("a tokenizer");
    let json =
        std::fs::read_to_string(place.path().join(MODEL).join("config.json")).expect("a configuration");
    assert!(json.contains("\"vocab_size\":128"), "{json}");
    let said =
        ["WARN", "train: 12 of 12 sentences (100.0 %) have what the tokenizer has no token for", "<unk>"];
    // More than a fifth of the words is nothing to train on, unless that is wanted.
    let refused = [
        "train: the tokenizer has no token for what is in",
        "words (",
        "in \"",
        "clip",
        "mT5",
        "--set text.allow_unknown_words=true",
    ];
    let done = check("");
    done.refuses(&[&refused]);
    done.says(&said);
    train(place.path(), "run", "").refuses(&[&refused]);
    let allowed = "--set text.allow_unknown_words=true";
    check(allowed).exits(0).says(&said);
    train(place.path(), "run", allowed).exits(0).says(&["dev: 2 of 2 sentences (100.0 %) have what"]);
    // A run that has begun is not refused.
    train(place.path(), "run", allowed).exits(0);
}

/// Features of one frame for each of these sentences, as `folder/train`.
fn store_of(folder: &Path, sentences: &[&str]) {
    let spatial = StreamInfo {
        dim: 2,
        rows: RowRule::EACH_FRAME,
        encoder: "none".to_owned(),
        compute: "f32".to_owned(),
        weights: BTreeMap::new(),
        config: serde_json::json!({}),
    };
    let info = StoreInfo {
        format: FORMAT,
        dataset: "own".to_owned(),
        split: "train".to_owned(),
        language: Some("Slovak".to_owned()),
        text: TextRules { lowercase: false, final_dot: false },
        dtype: StoreDtype::F32,
        fps: 25.0,
        streams: BTreeMap::from([("spatial".to_owned(), spatial)]),
        config: serde_json::json!({}),
        tool: "a test".to_owned(),
    };
    let mut writer = StoreWriter::open(&folder.join("train"), info, 0).expect("a store");
    for (i, sentence) in sentences.iter().enumerate() {
        let mut clip = writer.begin().expect("a clip");
        clip.append("spatial", &[0.0, 1.0]).expect("a row");
        let facts = ClipFacts { text: Some((*sentence).to_owned()), ..ClipFacts::default() };
        clip.finish(&format!("{i:03}"), 1, facts).expect("written");
    }
}

/// Flan-T5's vocabulary does not have all letters of Slovak.
#[test]
fn slovak_and_the_vocabulary_of_t5() {
    let Some(data) = real_data::folder() else { return };
    let table = data.join("sign/slovak_sentences/sentences.tsv");
    let tokenizer = data.join("tokenizers/t5/tokenizer.json");
    if !table.is_file() || !tokenizer.is_file() {
        println!("skipped: no {} or no {}", table.display(), tokenizer.display());
        return;
    }
    let table = std::fs::read_to_string(table).expect("a table");
    let mut rows = table.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let head = rows.next().expect("a head");
    let column = head.iter().position(|name| *name == "text_sk").expect("the Slovak sentences");
    let sentences: Vec<&str> = rows.map(|row| row[column]).collect();
    assert_eq!(sentences.len(), 57);
    let place = empty();
    store_of(place.path(), &sentences);
    let mut settings = TrainConfig::default();
    settings.head.streams = Streams::only("spatial");
    let mut corpus = Corpus::open(&[place.path().to_path_buf()], "train", &settings).expect("a corpus");
    let text = Text::load(&tokenizer).expect("a tokenizer");
    corpus.tokenise(&text, 512).expect("tokens");
    let found = Unwritable::of(&corpus, &text, &BeamSearchConfig::default()).expect("counted");
    let remarks = found.remarks("train");
    println!("{remarks:?}");
    let (warning, remark) = &remarks[0];
    assert!(*warning && remark.starts_with("train: 44 of 57 sentences (77.2 %)"), "{remark}");
}
