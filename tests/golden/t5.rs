//! T5 against Hugging Face transformers: every array that a case has.

use crate::case::{Case, Difference, device, further, on_cpu};
use crate::pictures::same_direction;
use serde_json::Value;
use signclip_train::language::beam_search::{BeamSearchConfig, Hypothesis, Normalization};
use signclip_train::language::inputs::IGNORE;
use signclip_train::language::label_loss;
use signclip_train::language::t5::{T5, T5Config};
use signclip_train::language::tuning::Tuning;
use std::path::Path;
use tch::{Device, IndexOp, Kind, Tensor, no_grad_guard};

/// The configuration of a case. It explains the value of `feed_forward_proj` in brackets, which `config.json`
/// does not.
pub(crate) fn config(case: &Case) -> T5Config {
    let mut json = case.json["config"].clone();
    if let Some(text) = json["feed_forward_proj"].as_str() {
        json["feed_forward_proj"] = Value::from(text.split(' ').next().unwrap_or_default());
    }
    T5Config::parse(&json.to_string(), Path::new(&case.name)).unwrap_or_else(|e| panic!("{e}"))
}

/// The model of a case, with exactly the keys of the case.
pub(crate) fn model(case: &Case, kind: Kind) -> T5 {
    T5::load(&case.weights(kind), &config(case), Tuning::Frozen).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn t5_tiny() {
    golden("t5_tiny");
}

#[test]
fn flan_t5_small() {
    golden("flan_t5_small");
}

#[test]
fn flan_t5_xl_width() {
    golden("flan_t5_xl_width");
}

#[test]
fn mt5_tiny() {
    golden("mt5_tiny");
}

#[test]
fn further_t5_cases() {
    let known = ["t5_tiny", "flan_t5_small", "flan_t5_xl_width", "mt5_tiny"];
    further(&["t5_", "flan_t5_", "mt5_"], &known).iter().for_each(|name| golden(name));
}

#[test]
fn t5_tiny_in_bf16() {
    in_bf16("t5_tiny");
}

#[test]
fn mt5_tiny_in_bf16() {
    in_bf16("mt5_tiny");
}

/// In bfloat16 the results stay as near to float32 as those of the reference, within a factor of 3.
fn in_bf16(name: &str) {
    let Some(case) = Case::load(name) else { return };
    let _no_grad = no_grad_guard();
    let run = Forward::new(&model(&case, Kind::BFloat16), &case);
    let allowed = |name: &str| {
        let number = |measure| 3.0 * case.number(&format!("/measured/bf16_vs_fp32/{name}/{measure}"));
        (number("max_abs"), number("rel_l2"))
    };
    // On a GPU sums have another order, of which these bounds know nothing: there the direction alone counts.
    let near = |name: &str, got: &Tensor, want: &Tensor| {
        let (max_abs, rel_l2) = allowed(name);
        if device() == Device::Cpu {
            case.check_with(&format!("{name} bf16"), got, want, max_abs, rel_l2);
        }
    };
    let valid = |x: &Tensor| x * run.mask_bs.unsqueeze(-1);
    let want = valid(&case.tensor("encoder_last"));
    near("encoder_last", &valid(&run.encoder_bsd), &want);
    same_direction(&case, "encoder_last bf16", &valid(&run.encoder_bsd), &want, 0.999);
    let want = run.counting(&case.tensor("logits"));
    near("logits", &run.counting(&run.logits_btv), &want);
    same_direction(&case, "logits bf16", &run.counting(&run.logits_btv), &want, 0.999);
    near("loss", &run.loss, &case.tensor("loss"));
}

/// The teacher-forced pass over the inputs of a case; its results, on the CPU.
struct Forward {
    mask_bs: Tensor,
    labels_bt: Tensor,
    /// Input of every block.
    encoder_blocks: Vec<Tensor>,
    encoder_bsd: Tensor,
    decoder_blocks: Vec<Tensor>,
    decoder_btd: Tensor,
    logits_btv: Tensor,
    loss: Tensor,
}

impl Forward {
    fn new(t5: &T5, case: &Case) -> Self {
        let (mask_bs, labels_bt) = (case.input("attention_mask"), case.input("labels"));
        let (mut encoder_blocks, mut decoder_blocks) = (Vec::new(), Vec::new());
        let mut seen = |x: &Tensor| encoder_blocks.push(on_cpu(x));
        let encoder_bsd = t5.encode_seeing(&case.input("inputs_embeds"), &mask_bs, false, &mut seen);
        let ids_bt = t5.shift_right(&labels_bt);
        let mut seen = |x: &Tensor| decoder_blocks.push(on_cpu(x));
        let decoder_btd = t5.decode_seeing(&ids_bt, &encoder_bsd, &mask_bs, false, &mut seen);
        let logits_btv = t5.logits(&decoder_btd, false);
        let loss = label_loss::mean(&logits_btv, &labels_bt).reshape([1]);
        Self {
            mask_bs: on_cpu(&mask_bs),
            labels_bt: on_cpu(&labels_bt),
            encoder_blocks,
            encoder_bsd: on_cpu(&encoder_bsd),
            decoder_blocks,
            decoder_btd: on_cpu(&decoder_btd),
            logits_btv: on_cpu(&logits_btv),
            loss: on_cpu(&loss),
        }
    }

    /// `x [.., b, t]` or `[.., b, t, n]` with zeros where the label does not count.
    fn counting(&self, x: &Tensor) -> Tensor {
        let counts_bt = self.labels_bt.ne(IGNORE).to_kind(x.kind());
        let size = counts_bt.size();
        let is_last = x.size().ends_with(&size);
        x * if is_last { counts_bt } else { counts_bt.unsqueeze(-1) }
    }
}

fn golden(name: &str) {
    let Some(case) = Case::load(name) else { return };
    let _no_grad = no_grad_guard();
    let t5 = model(&case, Kind::Float);
    position_bias(&case, &t5);
    let run = Forward::new(&t5, &case);
    forward(&case, &run);
    let runs = case.json["runs"].as_object().unwrap_or_else(|| panic!("{name}: no runs"));
    for (run_name, settings) in runs {
        generation(&case, &t5, &run, run_name, settings);
    }
}

fn position_bias(case: &Case, t5: &T5) {
    let (max_abs, rel_l2) = bounds(case);
    if case.has("enc_bias_row") {
        let n = case.tensor("enc_bias_row").size()[1];
        let bias_hts = on_cpu(&t5.position_bias(false, 0, n, n).squeeze_dim(0));
        case.check("enc_bias_row", &bias_hts.i((.., 0, ..)), max_abs, rel_l2);
        case.check("enc_bias_col", &bias_hts.i((.., .., 0)), max_abs, rel_l2);
    }
    if case.has("dec_bias_row") {
        let n = case.tensor("dec_bias_row").size()[1];
        let row_hs = t5.position_bias(true, n - 1, 1, n).i((0, .., 0, ..));
        case.check("dec_bias_row", &row_hs, max_abs, rel_l2);
    }
}

fn forward(case: &Case, run: &Forward) {
    let (max_abs, rel_l2) = bounds(case);
    // Positions whose label does not count: the reference masks them as keys, too, which changes only themselves.
    let check = |name: &str, got: &Tensor| {
        if case.has(name) {
            let (got, want) = (run.counting(got), run.counting(&case.tensor(name)));
            case.check_with(name, &got, &want, max_abs, rel_l2);
        }
    };
    // Encoder arrays are regular samples of the positions, and meaningless where the mask is 0.
    let encoder = |name: &str, got_nbsd: &Tensor| {
        if !case.has(name) {
            return;
        }
        let size = case.tensor(name).size();
        let want_nbsd =
            case.tensor(name).reshape([-1, size[size.len() - 3], size[size.len() - 2], size[size.len() - 1]]);
        let valid = sampled(&run.mask_bs, 1, want_nbsd.size()[2]).unsqueeze(-1);
        let got_nbsd = sampled(got_nbsd, 2, want_nbsd.size()[2]);
        case.check_with(name, &(got_nbsd * &valid), &(want_nbsd * &valid), max_abs, rel_l2);
    };
    let first_blocks = |blocks: &[Tensor], n: i64| Tensor::stack(&blocks[..n as usize], 0);
    if case.has("enc_hidden") {
        let n = case.tensor("enc_hidden").size()[0];
        encoder("enc_hidden", &first_blocks(&run.encoder_blocks, n));
    }
    encoder("encoder_last", &run.encoder_bsd.unsqueeze(0));
    if case.has("dec_hidden") {
        let n = case.tensor("dec_hidden").size()[0];
        let mut hidden = run.decoder_blocks.iter().map(Tensor::shallow_clone).collect::<Vec<_>>();
        hidden.push(run.decoder_btd.shallow_clone());
        check("dec_hidden", &first_blocks(&hidden, n));
    }
    check("dec_last", &run.decoder_btd);
    check("logits", &run.logits_btv);
    if case.has("logits_sub") {
        let n = case.tensor("logits_sub").size()[2];
        check("logits_sub", &sampled(&run.logits_btv, 2, n));
    }
    check("logits_max", &run.logits_btv.amax(-1, false));
    check("logits_logsumexp", &run.logits_btv.logsumexp(-1, false));
    let ids_bt1 = run.labels_bt.clamp_min(0).unsqueeze(-1);
    check("logits_of_labels", &run.logits_btv.gather(2, &ids_bt1, false).squeeze_dim(-1));
    if case.has("logits_argmax") {
        let (got, want) = (run.logits_btv.argmax(-1, false), case.tensor("logits_argmax"));
        assert_eq!(run.counting(&got), run.counting(&want), "{}: arg max", case.name);
    }
    case.check("loss", &run.loss, max_abs, rel_l2);
}

/// One run of `generate`: ids and scores, under both normalisations.
fn generation(case: &Case, t5: &T5, run: &Forward, name: &str, settings: &Value) {
    let integer = |key: &str| settings[key].as_i64().unwrap_or_else(|| panic!("{name}: no {key}"));
    let base = BeamSearchConfig {
        num_beams: integer("num_beams") as usize,
        max_length: integer("max_length") as usize,
        length_penalty: settings["length_penalty"].as_f64().unwrap_or(1.0),
        early_stopping: settings["early_stopping"].as_bool().unwrap_or(false),
        num_return_sequences: integer("num_return_sequences") as usize,
        eos_token_id: Some(integer("eos_token_id")),
        normalization: Normalization::Generated,
    };
    for (suffix, normalization) in [("", Normalization::Generated), ("_hf432", Normalization::Hf432)] {
        let (ids_name, scores_name) = (format!("{name}_ids{suffix}"), format!("{name}_scores{suffix}"));
        // Where 4.32 gives the same ids the case stores only its scores.
        let ids_name = if case.has(&ids_name) { ids_name } else { format!("{name}_ids") };
        if !suffix.is_empty() && !case.has(&scores_name) {
            continue;
        }
        let config = BeamSearchConfig { normalization, ..base.clone() };
        let [encoder_bsd, mask_bs] = [&run.encoder_bsd, &run.mask_bs].map(|x| x.to_device(device()));
        let texts = t5.generate(&encoder_bsd, &mask_bs, &config).unwrap_or_else(|e| panic!("{e}"));
        let texts: Vec<Hypothesis> = texts.into_iter().flatten().collect();
        let want = case.tensor(&ids_name);
        let got = padded(&texts, &t5.config, want.size()[1]);
        assert!(got == want, "{} {ids_name}{suffix}:\n{got}\nwhere the reference has\n{want}", case.name);
        if case.has(&scores_name) {
            let scores: Vec<f64> = texts.iter().map(|text| text.score).collect();
            let tolerance = case.tolerance("scores");
            case.check(&scores_name, &Tensor::from_slice(&scores), tolerance, f64::INFINITY);
        }
    }
}

/// Texts as rows of ids: the start token, the ids, padding.
fn padded(texts: &[Hypothesis], config: &T5Config, length: i64) -> Tensor {
    let rows = texts.iter().map(|text| {
        let mut row = vec![config.decoder_start_token_id];
        row.extend(&text.ids);
        row.resize(row.len().max(length as usize), config.pad_token_id);
        Tensor::from_slice(&row)
    });
    Tensor::stack(&rows.collect::<Vec<_>>(), 0)
}

/// Every k-th element along `dim`, where k follows from the number of samples.
fn sampled(x: &Tensor, dim: i64, samples: i64) -> Tensor {
    let length = x.size()[dim as usize];
    let step = (length + samples - 1) / samples;
    x.slice(dim, 0, length, step)
}

fn bounds(case: &Case) -> (f64, f64) {
    (case.tolerance("max_abs"), case.tolerance("rel_l2"))
}

/// A tiny preset of random weights, trained fully for some steps on two sentences, must learn them: gradients
/// reach every weight, from the embeddings to the position bias.
#[test]
fn training_from_scratch_learns_two_sentences() {
    use signclip_common::weights::Weights;
    let weights = Weights::fresh(7, device(), Kind::Float);
    let config = T5Config { dropout_rate: 0.0, ..T5Config::tiny(40) };
    let t5 = T5::load(&weights, &config, Tuning::Full).unwrap_or_else(|e| panic!("{e}"));
    let rows = |values: &[[i64; 4]; 2]| Tensor::from_slice2(values).to_device(device());
    let inputs = t5.embed(&rows(&[[5, 6, 7, 8], [9, 10, 11, 0]])).detach();
    let mask = rows(&[[1, 1, 1, 1], [1, 1, 1, 0]]);
    let labels = rows(&[[12, 13, 14, 1], [15, 16, 1, -100]]);
    let parameters = weights.parameters();
    let mut moments: Vec<Tensor> = parameters.iter().map(|(_, p)| p.zeros_like()).collect();
    let mut losses = Vec::new();
    for _ in 0..40 {
        let encoded = t5.encode(&inputs, &mask, true);
        let logits = t5.decode(&t5.shift_right(&labels), &encoded, &mask, true);
        let loss = label_loss::mean(&logits, &labels);
        losses.push(loss.double_value(&[]));
        loss.backward();
        let _no_grad = no_grad_guard();
        for ((name, parameter), moment) in parameters.iter().zip(&mut moments) {
            let mut grad = parameter.grad();
            assert!(grad.defined(), "{name} has no gradient");
            *moment = &*moment * 0.9 + grad.square() * 0.1;
            let mut parameter = parameter.shallow_clone();
            let _ = parameter.subtract_(&(&grad / (moment.sqrt() + 1e-8) * 1e-3));
            let _ = grad.zero_();
        }
    }
    let (first, last) = (losses[0], losses[losses.len() - 1]);
    assert!(last < 0.05 * first, "the loss went from {first} to {last}");
    let encoded = t5.encode(&inputs, &mask, false);
    let config = BeamSearchConfig { num_beams: 3, max_length: 8, ..BeamSearchConfig::default() };
    let texts = t5.generate(&encoded, &mask, &config).unwrap_or_else(|e| panic!("{e}"));
    let ids: Vec<&[i64]> = texts.iter().map(|best| best[0].ids.as_slice()).collect();
    assert_eq!(ids, [&[12, 13, 14, 1][..], &[15, 16, 1]]);
}

/// The names under which the embeddings and the output layer stand in files of various origin; each gives the logits of
/// the plain names, or those that the configuration means.
#[test]
fn names_of_the_embeddings() {
    use signclip_common::weights::Weights;
    use std::collections::BTreeMap;
    let _no_grad = no_grad_guard();
    let plain = T5Config::tiny(40);
    let fresh = Weights::fresh(3, device(), Kind::Float);
    T5::load(&fresh, &plain, Tuning::Full).unwrap_or_else(|e| panic!("{e}"));
    let tensors: BTreeMap<String, Tensor> =
        fresh.parameters().into_iter().map(|(name, t)| (name, t.detach())).collect();
    let inputs = Tensor::arange(6 * 128, (Kind::Float, device())).sin().reshape([1, 6, 128]);
    let mask = Tensor::ones([1, 6], (Kind::Int64, device()));
    let logits = |config: &T5Config, change: &dyn Fn(&mut BTreeMap<String, Tensor>)| {
        let mut tensors: BTreeMap<_, _> =
            tensors.iter().map(|(n, t)| (n.clone(), t.shallow_clone())).collect();
        change(&mut tensors);
        let weights = Weights::memory(tensors, Path::new("a file"), device(), Kind::Float);
        let t5 = T5::load(&weights, config, Tuning::Frozen)?;
        let encoded = t5.encode(&inputs, &mask, false);
        Ok::<_, signclip_common::Error>(t5.decode(
            &Tensor::from_slice2(&[[0_i64, 3, 9]]).to_device(device()),
            &encoded,
            &mask,
            false,
        ))
    };
    let get = |config: &T5Config, change: &dyn Fn(&mut BTreeMap<String, Tensor>)| {
        logits(config, change).unwrap_or_else(|e| panic!("{e}"))
    };
    let names = ["encoder.embed_tokens.weight", "decoder.embed_tokens.weight"];
    let shared = "shared.weight";
    let want = get(&plain, &|_| {});
    assert_eq!(
        want,
        get(&plain, &|t| {
            let embeddings = t.remove(shared).expect("embeddings");
            t.insert(names[0].to_owned(), embeddings);
        })
    );
    assert_eq!(
        want,
        get(&plain, &|t| {
            names.iter().for_each(|name| drop(t.insert((*name).to_owned(), t[shared].shallow_clone())));
        })
    );
    // Tied: the output layer is the embeddings and its input is scaled, whether the file repeats it or not.
    let tied = T5Config { tie_word_embeddings: true, ..plain.clone() };
    let repeated = get(&tied, &|t| drop(t.insert("lm_head.weight".to_owned(), t[shared].shallow_clone())));
    assert_eq!(repeated, get(&tied, &|t| drop(t.remove("lm_head.weight"))));
    // As transformers 5 writes a Flan-T5: "tied", not scaled, and the output layer is in the file or the embeddings.
    let renewed = T5Config { scale_decoder_outputs: Some(false), ..tied.clone() };
    assert_eq!(want, get(&renewed, &|_| {}));
    let unscaled = get(&renewed, &|t| drop(t.remove("lm_head.weight")));
    let gap = Difference::between(&(unscaled * 128_f64.powf(-0.5)), &repeated);
    assert!(gap.max_abs < 1e-5, "{gap}");
    let error = logits(&plain, &|t| drop(t.remove("lm_head.weight"))).expect_err("no output layer");
    assert!(error.to_string().contains("lm_head.weight"), "{error}");
}

/// A clip whose mask is empty gives numbers, not NaN.
#[test]
fn a_fully_masked_clip_gives_finite_logits() {
    use signclip_common::weights::Weights;
    for kind in [Kind::Float, Kind::BFloat16] {
        let weights = Weights::synthetic(0, device(), kind);
        let t5 = T5::load(&weights, &T5Config::tiny(40), Tuning::Frozen).unwrap_or_else(|e| panic!("{e}"));
        let inputs = Tensor::ones([2, 6, 128], (Kind::Float, device()));
        let mask = Tensor::from_slice2(&[[1_i64, 1, 1, 0, 0, 0], [0; 6]]).to_device(device());
        let encoded = t5.encode(&inputs, &mask, false);
        let logits = t5.decode(
            &Tensor::from_slice2(&[[0_i64, 3], [0, 3]]).to_device(device()),
            &encoded,
            &mask,
            false,
        );
        assert_eq!(logits.kind(), Kind::Float);
        assert!(logits.isfinite().all().int64_value(&[]) == 1, "{kind:?}");
        let gap = Difference::between(&encoded.i((1, 0)), &encoded.i((1, 5)));
        assert!(gap.max_abs.is_finite());
    }
}
