//! The timed parts.

use serde_json::{Value, json};
use signclip_common::collective::Collective;
use signclip_common::weights::Weights;
use signclip_common::{Result, devices, memory};
use signclip_train::config::TrainConfig;
use signclip_train::data::batch;
use signclip_train::data::loader::{Step, StepBatch};
use signclip_train::head::streams::StreamBatch;
use signclip_train::language::LanguageModel;
use signclip_train::language::beam_search::BeamSearchConfig;
use signclip_train::language::family::LanguageConfig;
use signclip_train::language::inputs::Prefix;
use signclip_train::language::prompt::Prompt;
use signclip_train::language::tuning::Tuning;
use signclip_train::training::adamw::{AdamW, ParameterGroup};
use signclip_train::training::model::{LanguageBase, SignClip};
use signclip_train::training::requirements::{LargestStep, Requirements};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;
use tch::{Device, Kind, Tensor};

/// Widths of the cached streams: CLIP ViT-L/14 with S², AV-HuBERT large.
const WIDTHS: [(&str, i64); 2] = [("spatial", 2048), ("mouthing", 1024)];
/// Share of the learning rates that a step of the timing applies.
const LR_FACTOR: f64 = 1.0;

/// What a step or a search is given, where and in what type.
pub(crate) struct Batch {
    pub(crate) device: Device,
    pub(crate) kind: Kind,
    pub(crate) clips: i64,
    pub(crate) visual_tokens: i64,
}

/// Load, one step to warm up, then `steps` timed ones.
pub(crate) fn train(
    model: &Path,
    batch: Batch,
    text_tokens: i64,
    steps: usize,
    recompute: bool,
) -> Result<Value> {
    let Batch { device, kind, clips, .. } = batch;
    let mut config = TrainConfig::default();
    config.optimiser.recompute = recompute;
    config.optimiser.batch_size = clips as usize;
    let begun = Instant::now();
    let base = LanguageBase { config: LanguageConfig::read(model)?, folder: Some(model), kind };
    let widths: BTreeMap<String, i64> = WIDTHS.map(|(name, width)| (name.to_owned(), width)).into();
    let signclip = SignClip::build(&config, &base, widths.clone(), &Prompt::default(), device)?;
    let load = begun.elapsed().as_secs_f64();
    memory::keep();
    let loaded = resident_gib("VmRSS:");
    let options = &config.optimiser;
    let group = |parameters: &[(String, Tensor)], lr| ParameterGroup {
        parameters: parameters.iter().map(|(name, t)| (name.clone(), t.shallow_clone())).collect(),
        lr,
        weight_decay: options.weight_decay,
    };
    let groups =
        vec![group(&signclip.visual, options.lr_visual), group(&signclip.language, options.lr_language)];
    let mut adamw = AdamW::new(groups, options.adamw);
    let data = random_step(&batch, text_tokens);
    let step = LargestStep {
        frames: data.batches[0].batch.frames / clips as usize,
        prompt: 0,
        target: text_tokens as usize,
        devices: 1,
    };
    let expected = Requirements::of(&config, base.folder, &base.config, kind, &widths, step)?;
    let mut losses = Vec::new();
    let mut step = || -> Result<f64> {
        let begun = Instant::now();
        adamw.zero_grad();
        let total = signclip.backward(&data, &config, &Collective::Solo)?.total;
        adamw.clip_grad_norm(options.clip_norm.unwrap_or(f64::INFINITY));
        adamw.step(LR_FACTOR);
        signclip.clamp_temperatures();
        losses.push(total);
        devices::synchronize(device);
        Ok(begun.elapsed().as_secs_f64())
    };
    let first = step()?;
    let seconds = median((0..steps).map(|_| step()).collect::<Result<_>>()?);
    let peak = resident_gib("VmHWM:");
    Ok(json!({
        "dtype": format!("{kind:?}"), "batch": clips, "threads": tch::get_num_threads(),
        "seconds_per_step": seconds, "first_step": first, "load": load, "loaded_gib": loaded, "recompute": recompute,
        "peak_rss_gib": peak, "expected_gib": expected.memory as f64 / f64::from(1 << 30), "losses": losses,
    }))
}

/// Load, one search to warm up, then `repeat` timed ones.
pub(crate) fn generate(
    model: &Path,
    batch: Batch,
    new_tokens: usize,
    beams: usize,
    repeat: usize,
) -> Result<Value> {
    let Batch { device, kind, clips, visual_tokens } = batch;
    let _no_grad = tch::no_grad_guard();
    let config = LanguageConfig::read(model)?;
    let model = LanguageModel::load(&Weights::open(model, device, kind)?, &config, Tuning::Frozen)?;
    memory::keep();
    tch::manual_seed(0);
    let none = || Tensor::zeros([0], (Kind::Int64, device));
    let prefix = Prefix {
        before_p: none(),
        tokens_btd: Tensor::randn([clips, visual_tokens, model.width()], (Kind::Float, device)),
        lengths_b: Tensor::full([clips], visual_tokens, (Kind::Int64, Device::Cpu)),
        behind_q: none(),
    };
    // No id is -1, so that every search runs to the length.
    let search = BeamSearchConfig {
        num_beams: beams,
        max_length: new_tokens + 1,
        eos_token_id: Some(-1),
        ..BeamSearchConfig::default()
    };
    let run = || -> Result<f64> {
        let begun = Instant::now();
        let found = model.translate(&prefix, &search)?;
        assert!(
            found.iter().all(|texts| texts[0].ids.len() == new_tokens),
            "every search runs to the length"
        );
        Ok(begun.elapsed().as_secs_f64())
    };
    run()?;
    let seconds = median((0..repeat).map(|_| run()).collect::<Result<_>>()?);
    Ok(json!({
        "dtype": format!("{kind:?}"), "batch": clips, "beams": beams, "threads": tch::get_num_threads(),
        "seconds": seconds, "tokens_per_second": (clips as usize * new_tokens) as f64 / seconds, "peak_rss_gib": resident_gib("VmHWM:"),
    }))
}

/// Random features and labels; the clips are as long as gives `visual_tokens` steps after the convolution.
fn random_step(batch: &Batch, text_tokens: i64) -> Step {
    let &Batch { device, clips, visual_tokens, .. } = batch;
    tch::manual_seed(0);
    let frames = visual_tokens * 4 + 12;
    let stream = |(name, width): (&str, i64)| {
        let rows = Tensor::randn([clips, frames, width], (Kind::Float, device));
        (
            name.to_owned(),
            StreamBatch { rows, lengths: Tensor::full([clips], frames, (Kind::Int64, Device::Cpu)) },
        )
    };
    let padded = batch::Batch {
        clips: (0..clips as usize).collect(),
        streams: WIDTHS.map(stream).into(),
        labels: Tensor::randint_low(3, 32000, [clips, text_tokens], (Kind::Int64, device)),
        frames: (clips * frames) as usize,
    };
    Step {
        number: 0,
        epoch: 0,
        batches: vec![StepBatch {
            own: 0..clips as usize,
            tokens: (clips * text_tokens) as usize,
            same: Tensor::eye(clips, (Kind::Bool, device)),
            batch: padded,
        }],
    }
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// Memory of this process now (`VmRSS:`), or the most it has held at once (`VmHWM:`).
fn resident_gib(what: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap_or("0 kB");
    line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) / f64::from(1 << 20)
}
