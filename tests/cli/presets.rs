//! `train --preset spamo` and `--preset authors` on stores with the streams that they take.

use crate::corpus::empty;
use crate::program::{Done, run, words};
use serde_json::Value;
use signclip_common::manifest::TextRules;
use signclip_common::store::{ClipFacts, FORMAT, RowRule, StoreDtype, StoreInfo, StoreWriter, StreamInfo};
use signclip_common::synthetic::Random;
use std::collections::BTreeMap;
use std::path::Path;

const EACH: RowRule = RowRule::EACH_FRAME;
const WINDOWS: RowRule = RowRule { window: 16, stride: 8 };
const SPATIAL: (&str, usize, RowRule) = ("spatial", 12, EACH);
const MOUTHING: (&str, usize, RowRule) = ("mouthing", 8, EACH);
const MOTION: (&str, usize, RowRule) = ("motion", 6, WINDOWS);

/// Sentences of five words or characters of a kind, so that a translation can be right in part.
const GERMAN: [&str; 4] = ["regen", "sonne", "wind", "schnee"];
const CHINESE: [&str; 4] = ["雨", "晴", "风", "雪"];

/// A store of the three splits in `folder`: the streams, and a language with words that follow from the clip.
fn store(folder: &Path, streams: &[(&str, usize, RowRule)], language: &str) {
    for (split, clips) in [("train", 18), ("dev", 4), ("test", 4)] {
        let info = |&(name, dim, rows): &(&str, usize, RowRule)| {
            let info = StreamInfo {
                dim,
                rows,
                encoder: "none".to_owned(),
                compute: "f32".to_owned(),
                weights: BTreeMap::new(),
                config: Value::Null,
            };
            (name.to_owned(), info)
        };
        let chinese = language == "Chinese";
        let info = StoreInfo {
            format: FORMAT,
            dataset: "signs".to_owned(),
            split: split.to_owned(),
            language: Some(language.to_owned()),
            text: TextRules { lowercase: true, final_dot: !chinese },
            dtype: StoreDtype::F32,
            fps: 25.0,
            streams: streams.iter().map(info).collect(),
            config: Value::Null,
            tool: "a test".to_owned(),
        };
        let mut writer = StoreWriter::open(&folder.join(split), info, 0).expect("a store");
        for clip in 0..clips {
            let frames = 18 + clip * 7 % 50;
            let mut begun = writer.begin().expect("a clip");
            for (name, dim, rows) in streams {
                let random = Random::new(&format!("{split} {name} {clip}"), 0);
                let values = (0..(rows.rows(frames) * dim) as u64).map(|i| random.signed(i) as f32);
                begun.append(name, &values.collect::<Vec<_>>()).expect("rows");
            }
            let word =
                |place: usize| if chinese { CHINESE[(clip + place) % 4] } else { GERMAN[(clip + place) % 4] };
            let text = (0..5).map(word).collect::<Vec<_>>().join(if chinese { "" } else { " " });
            let facts = ClipFacts { text: Some(text), ..ClipFacts::default() };
            begun.finish(&format!("{split}{clip:02}"), frames, facts).expect("written");
        }
    }
}

/// A small language model trained from nothing under a preset's other settings.
const SMALL: &str = "--gpus cpu --set language_model.path=tiny --set language_model.tuning=full --set \
    language_model.dtype=f32 --set head.d=16 --set decoding.max_length=12 --set decoding.num_beams=2";

fn train(place: &Path, line: &str) -> Done {
    run(place, "train", words(&format!("{SMALL} {line}")))
}

/// The lines of the steps, or of the validations.
fn log(run: &Path, of: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(run.join("log.jsonl")).expect("a log");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines.filter(|line| !line[of].is_null()).collect()
}

fn finite(line: &Value, field: &str) -> bool {
    line[field].as_f64().is_some_and(f64::is_finite)
}

#[test]
fn spamo_on_spatial_and_motion() {
    let place = empty();
    store(&place.path().join("hands"), &[SPATIAL], "German");
    store(&place.path().join("motion"), &[MOTION], "German");
    let both = "--features hands --features motion --preset spamo --set optimiser.epochs=4";
    let line = format!("{both} --set loss.vt_alone_steps=3 --run run");
    train(place.path(), &line).exits(0);
    let steps = log(&place.path().join("run"), "loss");
    // 18 clips, 16 a step.
    assert_eq!(steps.len(), 8);
    for (number, step) in steps.iter().enumerate() {
        // L_vt alone at first.
        assert_eq!(step["trans"].is_null(), number < 3, "{step}");
        assert!(finite(step, "loss") && finite(step, "vt") && step["sm"].is_null(), "{step}");
        if number < 3 {
            assert_eq!(step["loss"], step["vt"], "{step}");
        }
    }
    // Warm-up from 0 over a tenth of the steps, which is none here; then a cosine.
    assert_eq!(steps[0]["lr_factor"], 1.0);
    let evaluated = "--run run --gpus cpu --split test";
    run(place.path(), "evaluate", words(evaluated)).exits(0).says(&["BLEU-4"]);
    run(place.path(), "evaluate", words("report run --gpus cpu")).exits(0);
    // Its modes with one stream, where motion is not convolved.
    for (stream, convolved) in [("spatial", true), ("motion", false)] {
        let line = format!("{both} --set loss.vt_alone_steps=0 --set head.streams={stream} --run {stream}");
        train(place.path(), &line).exits(0);
        let best = place.path().join(stream).join("best.safetensors");
        let (tensors, _) = signclip_train::training::checkpoint::load(&best).expect("weights");
        let convolutions = tensors.keys().filter(|name| name.contains("temporal")).count();
        assert_eq!(convolutions > 0, convolved, "{stream}");
    }
}

#[test]
fn authors_on_spatial_and_mouthing() {
    let place = empty();
    store(&place.path().join("cache"), &[SPATIAL, MOUTHING], "German");
    let line = "--features cache --preset authors --set optimiser.epochs=3 --run run";
    train(place.path(), line).exits(0);
    let steps = log(&place.path().join("run"), "loss");
    // 18 clips in batches of 8, the last two left out.
    assert_eq!(steps.len(), 6);
    assert!(steps.iter().all(|step| finite(step, "trans") && finite(step, "vt") && finite(step, "sm")));
    // The cosine falls by epoch.
    let factors: Vec<f64> = steps.iter().filter_map(|step| step["lr_factor"].as_f64()).collect();
    assert!(
        factors[0] == 1.0 && factors[0] == factors[1] && factors[1] > factors[2] && factors[2] == factors[3]
    );
    let best = place.path().join("run/best.safetensors");
    let (tensors, _) = signclip_train::training::checkpoint::load(&best).expect("weights");
    for name in ["head.vis_token", "head.prompt_token", "head.logit_scale", "head.gate.0.weight"] {
        assert!(tensors.contains_key(name), "{name}");
    }
    for name in ["head.gate.2.weight", "head.sm_spatial.weight", "head.logit_scale_vt"] {
        assert!(!tensors.contains_key(name), "{name}");
    }
    // A run that was killed after its second epoch ends in the same place.
    let losses = |name: &str| -> Vec<Value> {
        log(&place.path().join(name), "loss").iter().map(|step| step["loss"].clone()).collect()
    };
    let whole = losses("run");
    let newest = signclip_train::training::checkpoint::all(&place.path().join("run"))
        .expect("checkpoints")
        .pop()
        .expect("a checkpoint");
    std::fs::remove_file(newest).expect("removed");
    train(place.path(), line).exits(0).says(&["resuming after epoch 2 of 3"]);
    assert_eq!(losses("run"), whole);
    run(place.path(), "evaluate", words("--run run --gpus cpu --split test")).exits(0);
    train(place.path(), "--features cache --preset authors --set optimiser.batch_size=64 --run none")
        .refuses(&[&["optimiser.drop_last", "18 clips"]]);
}

#[test]
fn a_run_that_gets_no_better_stops() {
    let place = empty();
    store(&place.path().join("cache"), &[SPATIAL], "German");
    // Without a batch norm, whose statistics would move, nothing changes at all.
    let still = "--set optimiser.lr_visual=0 --set optimiser.lr_language=0 --set optimiser.weight_decay=0";
    let line = format!(
        "--features cache --preset tiny --set head.streams=spatial --set optimiser.epochs=9 --set \
         validate_every=2 --set patience=2 --set head.conv=same {still} --run run"
    );
    train(place.path(), &line).exits(0).says(&["stopped: nothing better than epoch 2 in 2 validations"]);
    assert_eq!(log(&place.path().join("run"), "dev").len(), 3);
    let steps = log(&place.path().join("run"), "loss").len();
    assert_eq!(steps, 6 * 2);
    // It does not go on either.
    train(place.path(), &line).exits(0);
    assert_eq!(log(&place.path().join("run"), "loss").len(), steps);
}

#[test]
fn chinese_is_scored_by_characters() {
    let place = empty();
    store(&place.path().join("cache"), &[SPATIAL], "Chinese");
    let line = "--features cache --preset tiny --set head.streams=spatial --set optimiser.epochs=2 --set \
        validate_every=1 --run run";
    train(place.path(), line).exits(0);
    let evaluated = run(place.path(), "evaluate", words("--run run --gpus cpu --json")).exits(0).json();
    for (score, tok) in [("bleu", "zh"), ("bleu_slt", "char"), ("rouge_l", "char"), ("rouge_l_slt", "char")] {
        let signature = evaluated["scores"][score]["signature"].as_str().expect("a signature");
        assert!(signature.contains(&format!("|tok:{tok}|")), "{signature}");
    }
    assert_eq!(evaluated["references"]["units"], "zh");
    let shown = run(place.path(), "evaluate", words("--run run --gpus cpu"));
    shown.exits(0).says(&["sacreBLEU zh; ROUGE-L F1 of characters"]);
    let compared = run(place.path(), "evaluate", words("compare run run")).exits(0).stdout.clone();
    assert!(compared.contains("tok:zh"), "{compared}");
    run(place.path(), "evaluate", words("report run --gpus cpu")).exits(0);
}

#[test]
fn what_a_preset_needs_is_named() {
    let place = empty();
    store(&place.path().join("hands"), &[SPATIAL], "German");
    let line = "--features hands --run run --preset";
    for (preset, stream) in [("spamo", "motion"), ("authors", "mouthing"), ("paper", "mouthing")] {
        let command = format!("extract --dataset FILE.jsonl --streams {stream} --out hands-{stream}");
        let wanted: &[&str] =
            &["there is no", stream, "only spatial", &command, "--features hands-", "head.streams=spatial"];
        train(place.path(), &format!("{line} {preset}"))
            .refuses(&[&[&["hands/train"], wanted].concat(), &[&["hands/dev"], wanted].concat()]);
    }
    // Rows of another rule are not fused frame by frame.
    store(&place.path().join("motion"), &[MOTION], "German");
    train(place.path(), "--features hands --features motion --run run --preset spamo --set head.fusion=gate")
        .refuses(&[&["different numbers of rows", "head.fusion=along_time"], &["hands/dev"]]);
}
