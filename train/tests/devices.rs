//! Several devices give what one device gives on the same batches: gradients of the whole batch, parameters after many
//! updates.

#![allow(clippy::disallowed_methods)]

use signclip_common::collective::{Collective, share, threads};
use signclip_common::manifest::TextRules;
use signclip_common::store::{ClipFacts, FORMAT, RowRule, StoreDtype, StoreInfo, StoreWriter, StreamInfo};
use signclip_common::synthetic::Random;
use signclip_common::weights::Weights;
use signclip_common::{Error, Result};
use signclip_train::config::TrainConfig;
use signclip_train::data::corpus::Corpus;
use signclip_train::data::loader::{Loader, Plan};
use signclip_train::head::config::{HeadConfig, LossConfig, Widths};
use signclip_train::head::sign_head::SignHead;
use signclip_train::head::streams::StreamBatch;
use signclip_train::head::temporal::{Steps, valid};
use signclip_train::language::cut::{leaf, summed_gradient};
use signclip_train::language::family::Tiny;
use signclip_train::language::text::Text;
use signclip_train::training::adamw::{AdamW, AdamWConfig, ParameterGroup};
use signclip_train::training::gradients::sum_gradients;
use signclip_train::training::model::{LanguageBase, Losses, Named, SignClip};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tch::{Device, Kind, Tensor};

/// What `work` gives on each of `size` devices.
fn on_devices<T: Send>(size: usize, work: impl Fn(&Collective) -> Result<T> + Sync) -> Vec<T> {
    if size == 1 {
        return vec![work(&Collective::Solo).unwrap_or_else(|e| panic!("{e}"))];
    }
    std::thread::scope(|scope| {
        let work = &work;
        let ranks = threads(size, Duration::from_secs(60)).into_iter();
        let running: Vec<_> =
            ranks.map(|rank| scope.spawn(move || work(&Collective::Threads(rank)))).collect();
        let done = running.into_iter().map(|thread| thread.join().expect("no panic"));
        done.map(|result| result.unwrap_or_else(|e| panic!("{e}"))).collect()
    })
}

fn largest_difference(one: &[Tensor], other: &[Tensor]) -> f64 {
    assert_eq!(one.len(), other.len());
    one.iter().zip(other).map(|(a, b)| (a - b).abs().max().double_value(&[])).fold(0.0, f64::max)
}

fn copies(lists: &[&Named]) -> Vec<Tensor> {
    lists.iter().flat_map(|named| named.iter()).map(|(_, tensor)| tensor.detach().copy()).collect()
}

/// Random values in [-1, 1) of a name.
fn random(name: &str, shape: &[i64]) -> Tensor {
    let random = Random::new(name, 3);
    let values: Vec<f64> = (0..shape.iter().product::<i64>() as u64).map(|i| random.signed(i)).collect();
    Tensor::from_slice(&values).reshape(shape)
}

const WIDTH: i64 = 12;
const CLASSES: i64 = 9;

/// 20 updates of the head in float64 with both contrastive losses and, in place of the language model, a
/// classification of each visual token of this device's share; parameters and running statistics afterwards.
fn head_in_float64(steps: Steps, collective: &Collective) -> Result<Vec<Tensor>> {
    let config = HeadConfig { d: 8, norm_over: steps, ..HeadConfig::default() };
    let streams = [("spatial", 10), ("mouthing", 6)].map(|(name, width)| (name.to_owned(), width));
    let widths = Widths { streams: streams.into(), language: WIDTH };
    let losses = LossConfig { vt_mean: steps, ..LossConfig::default() };
    let weights = Weights::synthetic(4, Device::Cpu, Kind::Double);
    let (head, classes) = weights.build(&[], |root| {
        (
            SignHead::new(root, &config, &widths, &losses),
            root.trainable().get("classes.weight", &[CLASSES, WIDTH]),
        )
    })?;
    let group = ParameterGroup { parameters: weights.parameters(), lr: 1e-3, weight_decay: 0.01 };
    let language = vec![("classes.weight".to_owned(), classes.shallow_clone())];
    let mut adamw = AdamW::new(vec![group], AdamWConfig::default());
    for step in 0..20 {
        // Shares that are not even; in every fourth step a single clip, so that some devices have none.
        let n = if step % 4 == 3 { 1 } else { 5 };
        let lengths: Vec<i64> = (0..n).map(|clip| 17 + (step * 5 + clip * 11) % 40).collect();
        let own = share(n as usize, collective.rank(), collective.size());
        let of_own = |x: &Tensor| x.narrow(0, own.start as i64, own.len() as i64);
        let frames = lengths.iter().copied().max().unwrap_or(1);
        let stream =
            |name: &str, dim: i64| random(&format!("{name} {step}"), &[n, 60, dim]).narrow(1, 0, frames);
        let z_t = random(&format!("text {step}"), &[n, WIDTH]);
        let labels = (random(&format!("labels {step}"), &[n, 20]) * 4.5 + 4.5).to_kind(Kind::Int64);
        let total: i64 = lengths.iter().map(|frames| (frames - 12) / 4).sum();

        adamw.zero_grad();
        let lengths_b = Tensor::from_slice(&lengths);
        let batch = [("spatial", stream("spatial", 10)), ("mouthing", stream("mouth", 6))]
            .map(|(name, rows)| (name.to_owned(), StreamBatch { rows, lengths: lengths_b.shallow_clone() }));
        let out = head.forward(&batch.into(), true)?;
        let tokens = leaf(&out.tokens);
        let logits = of_own(&tokens).matmul(&classes.tr());
        let steps = logits.size()[1];
        let log = logits.log_softmax(-1, Kind::Double);
        let picked =
            log.gather(-1, &of_own(&labels).narrow(1, 0, steps).unsqueeze(-1), false).squeeze_dim(-1);
        let loss =
            -(picked * valid(&of_own(&out.out_lengths), steps, Device::Cpu)).sum(Kind::Double) / total as f64;
        loss.backward();
        let gradient = summed_gradient(&tokens, collective)?;
        let vt = head.loss_vt(&out.z_v, &z_t, None, true).expect("L_vt");
        let (z_s, z_m) = (out.z_s.as_ref().expect("both streams"), out.z_m.as_ref().expect("both streams"));
        let sm = head.loss_sm(z_s, z_m, None, false).expect("L_sm");
        ((&out.tokens * gradient).sum(Kind::Double) + vt + sm * 0.2).backward();
        sum_gradients(collective, &language)?;
        adamw.clip_grad_norm(1.0);
        adamw.step(1.0);
    }
    Ok(copies(&[&weights.parameters(), &weights.buffers()]))
}

#[test]
fn the_head_in_float64() {
    for steps in [Steps::Valid, Steps::All] {
        let run = |collective: &Collective| head_in_float64(steps, collective);
        let alone = on_devices(1, run).remove(0);
        for size in [2, 3] {
            let replicas = on_devices(size, run);
            for replica in &replicas {
                assert_eq!(largest_difference(replica, &replicas[0]), 0.0, "the replicas agree");
                let difference = largest_difference(replica, &alone);
                assert!(difference < 1e-10, "{size} devices, {steps:?}: {difference:.1e}");
            }
        }
    }
}

const CLIPS: usize = 37;

/// A store of clips with both streams, some of one frame, some longer than the cap, some with the same sentence.
fn write_store(folder: &Path) -> Result<()> {
    let stream = |dim| StreamInfo {
        dim,
        rows: RowRule::EACH_FRAME,
        encoder: "test".to_owned(),
        compute: "f32".to_owned(),
        weights: BTreeMap::new(),
        config: serde_json::Value::Null,
    };
    let info = StoreInfo {
        format: FORMAT,
        dataset: "test".to_owned(),
        split: "train".to_owned(),
        language: Some("German".to_owned()),
        text: TextRules { lowercase: false, final_dot: true },
        dtype: StoreDtype::F16,
        fps: 25.0,
        streams: BTreeMap::from([("spatial".to_owned(), stream(10)), ("mouthing".to_owned(), stream(6))]),
        config: serde_json::Value::Null,
        tool: "test".to_owned(),
    };
    let mut store = StoreWriter::open(folder, info, 0)?;
    let words = ["regen", "sonne", "wind", "schnee", "nebel", "morgen", "norden"];
    for clip in 0..CLIPS {
        let frames = if clip % 7 == 0 { 1 } else { 9 + clip * 13 % 70 };
        let mut writer = store.begin()?;
        for (name, dim) in [("spatial", 10), ("mouthing", 6)] {
            let values = random(&format!("{name} {clip}"), &[(frames * dim) as i64]).to_kind(Kind::Float);
            writer.append(name, &Vec::<f32>::try_from(values)?)?;
        }
        let text: Vec<&str> = (0..1 + clip % 4).map(|word| words[(clip / 2 + word * 3) % 7]).collect();
        writer.finish(
            &format!("clip{clip:03}"),
            frames,
            ClipFacts { text: Some(text.join(" ")), ..ClipFacts::default() },
        )?;
    }
    Ok(())
}

/// The whole model, 20 updates at the paper's learning rates without dropout; parameters and statistics afterwards,
/// and the losses on the way.
fn model(
    settings: &TrainConfig,
    folder: &Path,
    collective: &Collective,
) -> Result<(Vec<Tensor>, Vec<Losses>)> {
    let mut corpus = Corpus::open(&[folder.to_path_buf()], "train", settings)?;
    let tokenizer = folder.join(format!("tokenizer-{}-{}.json", collective.size(), collective.rank()));
    let tiny = Tiny::named(&settings.language_model.path).expect("a tiny model");
    let json = tiny.tokenizer(corpus.texts.iter().map(String::as_str));
    std::fs::write(&tokenizer, json).map_err(Error::io(&tokenizer))?;
    let text = Text::load(&tokenizer)?;
    let config = tiny.config(text.vocabulary() as i64);
    let text = config.text(text, false)?;
    corpus.tokenise(&text, 64)?;
    let base = LanguageBase { config, folder: None, kind: Kind::Float };
    let model = SignClip::new(settings, &base, &corpus, &text, "regen wind", Device::Cpu)?;
    let group = |named: &Named, lr| ParameterGroup {
        parameters: named.iter().map(|(name, t)| (name.clone(), t.shallow_clone())).collect(),
        lr,
        weight_decay: 0.01,
    };
    let groups = vec![group(&model.visual, 5e-5), group(&model.language, 1e-4)];
    let mut adamw = AdamW::new(groups, AdamWConfig::default());
    let plan = Plan {
        first: 0,
        end: 20,
        batch_size: settings.optimiser.batch_size,
        micro_batches: settings.optimiser.micro_batches,
        drop_last: settings.optimiser.drop_last,
        pool: settings.optimiser.length_pool,
        seed: settings.seed,
        rank: collective.rank(),
        size: collective.size(),
        device: Device::Cpu,
    };
    let mut losses = Vec::new();
    std::thread::scope(|scope| {
        for step in Loader::start(scope, &corpus, plan) {
            let step = step?;
            adamw.zero_grad();
            losses.push(model.backward(&step, settings, collective)?);
            sum_gradients(collective, &model.language)?;
            adamw.clip_grad_norm(1.0);
            adamw.step(1.0);
        }
        Ok::<_, Error>(())
    })?;
    Ok((copies(&[&model.visual, &model.buffers, &model.language]), losses))
}

fn settings(more: &[&str]) -> TrainConfig {
    // Standardised, clips of one frame would be equal: a batch of them has a gradient of nothing but rounding errors,
    // which Adam would magnify.
    let fixed = ["head.streams=both", "head.d=16", "head.standardise=false", "language_model.dropout=0"];
    // 37 clips in batches of 4: the last one has a single clip.
    let fixed = fixed.iter().chain(&["max_frames=50", "optimiser.batch_size=4", "optimiser.length_pool=2"]);
    let all: Vec<String> = fixed.chain(more).map(|setting| (*setting).to_owned()).collect();
    TrainConfig::tiny().with(None, &all).unwrap_or_else(|e| panic!("{e}"))
}

/// One process on the whole batch against `size` devices and `parts` parts of accumulation.
#[track_caller]
fn same_run(more: &[&str], size: usize, parts: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    write_store(&folder.path().join("train")).unwrap_or_else(|e| panic!("{e}"));
    let alone = settings(more);
    let mut divided = alone.clone();
    divided.optimiser.accumulation = parts;
    let (want, want_losses) = on_devices(1, |c| model(&alone, folder.path(), c)).remove(0);
    for (got, losses) in on_devices(size, |c| model(&divided, folder.path(), c)) {
        let difference = largest_difference(&got, &want);
        assert!(difference < 1e-5, "{size} devices, {parts} parts: {difference:.1e}");
        for (step, (got, want)) in losses.iter().zip(&want_losses).enumerate() {
            assert!((got.total - want.total).abs() < 1e-4, "step {step}: {got:?} {want:?}");
            assert_eq!((got.vt.is_some(), got.sm.is_some()), (want.vt.is_some(), want.sm.is_some()));
        }
    }
}

#[test]
fn two_devices_are_one() {
    same_run(&[], 2, 1);
}

#[test]
fn a_decoder_only_model() {
    let llama = "language_model.path=tiny-llama";
    same_run(&[llama], 2, 1);
    same_run(&[llama, "loss.vt_target=encoder", "text.prompt_first=true", "optimiser.recompute=true"], 3, 2);
}

/// Markers, single frames in L_sm, one temperature, L_vt alone at first, and steps of two batches.
#[test]
fn settings_of_published_code_on_two_devices() {
    let published = [
        "optimiser.batch_size=8",
        "optimiser.micro_batches=2",
        "head.markers=true",
        "head.gate_layers=1",
        "loss.symmetric=true",
        "loss.vt_mean=all",
        "loss.vt_text_tokens=16",
        "loss.vt_alone_steps=3",
        "loss.sm_pooling=mean",
        "loss.sm_over=all",
        "loss.sm_projection=false",
        "loss.sm_frames=true",
        "loss.shared_temperature=true",
    ];
    same_run(&published, 2, 1);
}

/// What counts padding sees that of the whole batch on every device.
#[test]
fn padding_counts_on_several_devices() {
    let counted = ["head.norm_over=all", "loss.vt_mean=all", "loss.vt_target=encoder"];
    same_run(&counted[..2], 2, 1);
    same_run(&counted, 3, 1);
}

#[test]
fn accumulation_is_the_whole_batch() {
    same_run(&[], 1, 3);
    same_run(&["loss.vt_target=encoder", "loss.symmetric=true"], 2, 2);
}

#[test]
fn losses_that_are_off() {
    same_run(&["loss.alpha=0", "head.streams=mouthing", "head.conv=same"], 2, 1);
    same_run(&["loss.beta=0"], 3, 1);
}
