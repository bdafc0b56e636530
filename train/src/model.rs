//! SignClip put together: the trainable visual head in front of the language model.
//!
//! Shapes: b clips, s encoder positions, l target tokens, d width of the language model.

use crate::adapter;
use crate::beam_search::{BeamSearchConfig, Hypothesis};
use crate::config::{TrainConfig, TuningKind};
use crate::corpus::{Batch, Corpus};
use crate::lora::LoraConfig;
use crate::sign_head::{HeadConfig, HeadOutput, SignHead};
use crate::t5::{IGNORE, T5, T5Config, Tuning};
use crate::text::Text;
use signclip_common::store::{MOUTHING, SPATIAL};
use signclip_common::weights::Weights;
use signclip_common::{Error, Result};
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};

/// What a checkpoint keeps of the model: named trainable tensors and running statistics.
pub type Named = Vec<(String, Tensor)>;

/// The model on one device.
pub struct SignClip {
    head: SignHead,
    t5: T5,
    /// How the language model is adapted, and the folder that it is in.
    lora: Option<(LoraConfig, Option<PathBuf>)>,
    prompt: Tensor,
    device: Device,
    /// Trainable tensors of the visual head and of the language model.
    pub visual: Named,
    pub language: Named,
    /// Running statistics.
    pub buffers: Named,
}

/// The parts of the loss of one batch (paper, "Training details").
pub struct Losses {
    pub total: Tensor,
    pub trans: Tensor,
    pub vt: Tensor,
    /// Absent where one stream is used alone.
    pub sm: Option<Tensor>,
}

/// Columns of the feature streams; 0 for one that is not there.
#[derive(Debug, Clone, Copy)]
pub struct Widths {
    pub spatial: i64,
    pub mouthing: i64,
}

impl Widths {
    /// Those of a corpus.
    pub fn of(corpus: &Corpus) -> Self {
        Self { spatial: corpus.dim(SPATIAL), mouthing: corpus.dim(MOUTHING) }
    }
}

/// The language model before it is built: its configuration and where its weights are.
pub struct LanguageBase<'p> {
    pub config: T5Config,
    /// Absent: trained from nothing.
    pub folder: Option<&'p Path>,
    pub kind: Kind,
}

impl SignClip {
    /// Build for the stream widths of `corpus` and the texts of `text`.
    pub fn new(
        config: &TrainConfig,
        base: &LanguageBase,
        corpus: &Corpus,
        text: &Text,
        prompt: &str,
        device: Device,
    ) -> Result<Self> {
        if (text.vocabulary() as i64) > base.config.vocab_size {
            return Err(Error::usage(
                format!(
                    "the tokenizer has {} ids, the language model {}",
                    text.vocabulary(),
                    base.config.vocab_size
                ),
                "use the tokenizer.json of the language model's own folder",
            ));
        }
        Self::build(config, base, Widths::of(corpus), &text.encode(prompt)?, device)
    }

    /// Build for streams of these widths, with the ids of the prompt. Everything fresh is a pure function of the
    /// seed.
    pub fn build(
        config: &TrainConfig,
        base: &LanguageBase,
        widths: Widths,
        prompt: &[i64],
        device: Device,
    ) -> Result<Self> {
        let lm = &config.language_model;
        let mut t5_config = base.config.clone();
        t5_config.dropout_rate = lm.dropout.unwrap_or(t5_config.dropout_rate);
        let fresh = |kind| Weights::fresh(config.seed, device, kind);
        let weights = match base.folder {
            Some(folder) => Weights::open(folder, device, base.kind)?,
            None => fresh(base.kind),
        };
        let (lora, adapter) = match &lm.adapter {
            Some(folder) => adapter::open(folder, device)?,
            None => (lm.lora.clone(), fresh(Kind::Float)),
        };
        let tuning = match lm.tuning {
            TuningKind::Lora => Tuning::Lora(&lora, &adapter),
            TuningKind::Full => Tuning::Full,
            TuningKind::Frozen => Tuning::Frozen,
        };
        let t5 = T5::load(&weights, &t5_config, tuning)?;
        let head_config = HeadConfig {
            streams: config.head.streams,
            d_s: widths.spatial.max(1),
            d_m: widths.mouthing.max(1),
            d: config.head.d,
            d_llm: t5_config.d_model,
            conv: config.head.conv,
            project_mouth: config.head.project_mouth,
        };
        head_config.validate()?;
        let visual = fresh(Kind::Float);
        // The head computes in the type of the language model; its masters, norms and losses are float32.
        let head = visual.build(&[], |part| SignHead::new(&part.in_kind(base.kind), &head_config))?;
        let language = [weights.parameters(), adapter.parameters()].into_iter().flatten().collect();
        Ok(Self {
            head,
            t5,
            prompt: Tensor::from_slice(prompt).to_device(device),
            lora: (lm.tuning == TuningKind::Lora).then_some((lora, base.folder.map(Path::to_path_buf))),
            device,
            visual: visual.parameters(),
            language,
            buffers: visual.buffers(),
        })
    }

    pub fn device(&self) -> Device {
        self.device
    }

    /// Numbers of trainable values in the visual head and in the language model.
    pub fn trainable(&self) -> (usize, usize) {
        let count = |named: &Named| named.iter().map(|(_, t)| t.numel()).sum();
        (count(&self.visual), count(&self.language))
    }

    /// L_total = L_trans + α L_vt + β L_sm of one batch.
    pub fn losses(&self, batch: &Batch, config: &TrainConfig, train: bool) -> Losses {
        let (head, inputs_bsd, mask_bs) = self.inputs(batch, train);
        let encoded_bsd = self.t5.encode(&inputs_bsd, &mask_bs, train);
        let (sum, count) = self.t5.target_loss(&batch.labels, &encoded_bsd, &mask_bs, train);
        let trans = sum / count;
        let loss = &config.loss;
        let vt = self.head.loss_vt(
            &head.z_v,
            &self.sentence_embedding(&batch.labels),
            Some(&batch.same),
            loss.symmetric,
        );
        let sm = match (&head.z_s, &head.z_m) {
            (Some(z_s), Some(z_m)) => self.head.loss_sm(z_s, z_m, Some(&batch.same), loss.symmetric),
            _ => None,
        };
        let mut total = &trans + &vt * loss.alpha;
        if let Some(sm) = &sm {
            total += sm * loss.beta;
        }
        Losses { total, trans, vt, sm }
    }

    /// Write the adapter of the language model as a folder for PEFT; nothing where there is none.
    pub fn save_adapter(&self, folder: &Path) -> Result<()> {
        match &self.lora {
            Some((config, base)) => adapter::save(folder, config, base.as_deref(), &self.language),
            None => Ok(()),
        }
    }

    /// Bring the temperatures back into their range after an update.
    pub fn clamp_temperatures(&self) {
        self.head.clamp_temperatures();
    }

    /// Best translations of each clip of a batch, best first.
    pub fn translate(&self, batch: &Batch, search: &BeamSearchConfig) -> Result<Vec<Vec<Hypothesis>>> {
        let _frozen = tch::no_grad_guard();
        let (_, inputs_bsd, mask_bs) = self.inputs(batch, false);
        let encoded_bsd = self.t5.encode(&inputs_bsd, &mask_bs, false);
        self.t5.generate(&encoded_bsd, &mask_bs, search)
    }

    /// Encoder inputs: each clip's valid visual tokens, then the prompt's embeddings, then padding.
    fn inputs(&self, batch: &Batch, train: bool) -> (HeadOutput, Tensor, Tensor) {
        let head = self.head.forward(batch.spatial.as_ref(), batch.mouthing.as_ref(), &batch.lengths, train);
        let prompt_pd = self.t5.embed(&self.prompt).to_kind(Kind::Float);
        let steps = Vec::<i64>::try_from(&head.out_lengths.to_device(Device::Cpu)).unwrap_or_default();
        let rows: Vec<Tensor> = steps
            .iter()
            .enumerate()
            .map(|(clip, &steps)| {
                Tensor::cat(&[head.tokens.get(clip as i64).narrow(0, 0, steps), prompt_pd.shallow_clone()], 0)
            })
            .collect();
        let masks: Vec<Tensor> =
            rows.iter().map(|r| Tensor::ones([r.size()[0]], (Kind::Int64, self.device))).collect();
        let inputs_bsd = Tensor::pad_sequence(&rows, true, 0.0, "right");
        let mask_bs = Tensor::pad_sequence(&masks, true, 0.0, "right");
        (head, inputs_bsd, mask_bs)
    }

    /// z_t: mean of the target tokens' embeddings, the end token included (SpaMo's reading of "sentence
    /// embedding"), `[b, d]` float32.
    fn sentence_embedding(&self, labels_bl: &Tensor) -> Tensor {
        let counts_bl1 = labels_bl.ne(IGNORE).to_kind(Kind::Float).unsqueeze(-1);
        let ids_bl = labels_bl.clamp_min(0);
        let sum_bd = (self.t5.embed(&ids_bl).to_kind(Kind::Float) * &counts_bl1).sum_dim_intlist(
            1,
            false,
            Kind::Float,
        );
        sum_bd / counts_bl1.sum_dim_intlist(1, false, Kind::Float)
    }
}
