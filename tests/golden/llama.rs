//! Llama against Hugging Face transformers: every array that a case has.

#![allow(clippy::print_stdout)]

use crate::case::{Case, device, further, on_cpu};
use crate::pictures::same_direction;
use serde_json::json;
use signclip_train::language::beam_search::{BeamSearchConfig, Hypothesis};
use signclip_train::language::inputs::IGNORE;
use signclip_train::language::label_loss;
use signclip_train::language::llama::{Llama, LlamaConfig};
use signclip_train::language::tuning::Tuning;
use std::path::Path;
use tch::{Device, Kind, Tensor, no_grad_guard};

/// The configuration of a case, which has the fields of `rope_scaling` beside the others.
fn config(case: &Case) -> LlamaConfig {
    let mut json = case.json["config"].clone();
    let fields =
        ["rope_type", "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"];
    json["rope_scaling"] = fields.into_iter().map(|field| (field, json[field].clone())).collect();
    LlamaConfig::parse(&json.to_string(), Path::new(&case.name)).unwrap_or_else(|e| panic!("{e}"))
}

/// The model of a case, with exactly the keys of the case.
fn model(case: &Case, kind: Kind) -> Llama {
    Llama::load(&case.weights(kind), &config(case), Tuning::Frozen).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn llama32_tiny() {
    golden("llama32_tiny");
}

#[test]
fn llama31_tiny() {
    golden("llama31_tiny");
}

#[test]
fn further_llama_cases() {
    further(&["llama"], &["llama32_tiny", "llama31_tiny"]).iter().for_each(|name| golden(name));
}

/// In bfloat16 the logits stay as near to float32 as those of the reference, within a factor of 3, and point the same way.
#[test]
fn llama_in_bf16() {
    for name in ["llama32_tiny", "llama31_tiny"] {
        let Some(case) = Case::load(name) else { continue };
        let _no_grad = no_grad_guard();
        let (got, want) = (Forward::new(&model(&case, Kind::BFloat16), &case), case.tensor("logits"));
        let allowed = |measure| 3.0 * case.number(&format!("/measured/bf16_vs_fp32_logits/{measure}"));
        let logits = got.every_third();
        // On a GPU sums have another order, of which these bounds know nothing: there the direction alone counts.
        if device() == Device::Cpu {
            case.check_with("logits bf16", &logits, &want, allowed("max_abs"), allowed("rel_l2"));
        }
        same_direction(&case, "logits bf16", &logits, &want, 0.999);
    }
}

/// The pass over the ids of a case; its results, on the CPU.
struct Forward {
    mask_bt: Tensor,
    /// Input of every layer, and the output of the final norm.
    hidden: Vec<Tensor>,
    logits_btv: Tensor,
}

impl Forward {
    fn new(llama: &Llama, case: &Case) -> Self {
        let (ids_bt, mask_bt) = (case.input("input_ids"), case.input("attention_mask"));
        let mut hidden = Vec::new();
        let mut seen = |x: &Tensor| hidden.push(on_cpu(x));
        let last_btd = llama.forward_seeing(&llama.embed(&ids_bt), &mask_bt, false, &mut seen);
        let logits_btv = on_cpu(&llama.logits(&last_btd, false));
        hidden.push(on_cpu(&last_btd));
        Self { mask_bt: on_cpu(&mask_bt), hidden, logits_btv }
    }

    /// Zeros where the mask is 0, as the cases have it.
    fn valid(&self, x_btn: &Tensor) -> Tensor {
        x_btn * self.mask_bt.unsqueeze(-1)
    }

    fn every_third(&self) -> Tensor {
        self.valid(&self.logits_btv).slice(1, 0, None, 3)
    }
}

fn golden(name: &str) {
    let Some(case) = Case::load(name) else { return };
    let _no_grad = no_grad_guard();
    let llama = model(&case, Kind::Float);
    frequencies(&case);
    let run = Forward::new(&llama, &case);
    forward(&case, &run);
    generation(&case, &llama);
}

/// Of the case, and of the official models.
fn frequencies(case: &Case) {
    let rel = case.tolerance("inv_freq/rel");
    for (name, config) in [
        ("inv_freq", config(case)),
        ("inv_freq_llama32_3b", LlamaConfig::llama32_3b()),
        ("inv_freq_llama31_8b", LlamaConfig::llama31_8b()),
    ] {
        let (got, want) = (Tensor::from_slice(&config.inverse_frequencies()), case.tensor(name));
        let gap = (&got / want - 1.0).abs().max().double_value(&[]);
        println!("{} {name}: relative difference {gap:.1e}", case.name);
        assert!(gap <= rel, "{} {name}: {gap}", case.name);
    }
}

fn forward(case: &Case, run: &Forward) {
    let (max_abs, rel_l2) = (case.tolerance("max_abs"), case.tolerance("rel_l2"));
    case.check("logits", &run.every_third(), max_abs, rel_l2);
    let hidden: Vec<Tensor> = run.hidden.iter().map(|x_btd| run.valid(x_btd)).collect();
    let samples = case.tensor("hidden").size()[2];
    let length = run.mask_bt.size()[1];
    // The last positions, at equal distances, as the description says: 53, 62, .., 89.
    let step = 9;
    let first = length - 1 - step * (samples - 1);
    case.check("hidden", &Tensor::stack(&hidden, 0).slice(2, first, None, step), max_abs, rel_l2);

    // Labels are the ids but for padding and the first real one of each row; each is predicted one position before.
    let before = run.mask_bt.cumsum(1, Kind::Int64);
    let ids_bt = case.tensor("input_ids").masked_fill(&before.le(1), IGNORE);
    let (logits_btv, labels_bt) = (run.logits_btv.narrow(1, 0, length - 1), ids_bt.narrow(1, 1, length - 1));
    case.check("loss", &label_loss::mean(&logits_btv, &labels_bt).reshape([1]), max_abs, rel_l2);
}

fn generation(case: &Case, llama: &Llama) {
    let pad = case.json["config"]["pad_token_id"].as_i64().expect("a padding id");
    let rows = |texts: &[Vec<Hypothesis>], length: i64| {
        let row = |texts: &Vec<Hypothesis>| {
            let mut ids = texts[0].ids.clone();
            ids.resize(length as usize, pad);
            Tensor::from_slice(&ids)
        };
        Tensor::stack(&texts.iter().map(row).collect::<Vec<_>>(), 0)
    };
    let (ids_bt, mask_bt) = (case.input("input_ids"), case.input("attention_mask"));
    let (embeds_btd, embeds_mask_bt) = (case.input("inputs_embeds"), case.input("embeds_mask"));
    let prompt = ids_bt.size()[1];
    let search = |num_beams: usize, new_tokens: i64| BeamSearchConfig {
        num_beams,
        // The last position of the prefix counts as the start token.
        max_length: new_tokens as usize + 1,
        ..BeamSearchConfig::default()
    };
    let check = |name: &str, got: &Tensor, want: &Tensor| {
        assert!(got == want, "{} {name}:\n{got}\nwhere the reference has\n{want}", case.name);
    };
    let want = case.tensor("greedy_from_ids_ids");
    let want = want.narrow(1, prompt, want.size()[1] - prompt);
    let length = want.size()[1];
    let found = llama.generate(&llama.embed(&ids_bt), &mask_bt, &search(1, length));
    check("greedy_from_ids_ids", &rows(&found.unwrap_or_else(|e| panic!("{e}")), length), &want);

    for (name, num_beams) in [("greedy_from_embeds", 1), ("beam4_from_embeds", 4)] {
        let want = case.tensor(&format!("{name}_ids"));
        // Shorter than 20 where every text has ended.
        let found = llama.generate(&embeds_btd, &embeds_mask_bt, &search(num_beams, 20));
        let found = found.unwrap_or_else(|e| panic!("{e}"));
        check(name, &rows(&found, want.size()[1]), &want);
        if num_beams > 1 {
            let scores: Vec<f64> = found.iter().map(|texts| texts[0].score).collect();
            let (got, tolerance) = (Tensor::from_slice(&scores), case.tolerance("scores"));
            case.check(&format!("{name}_scores"), &got, tolerance, f64::INFINITY);
        }
    }
}

/// A file that contradicts `tie_word_embeddings` is refused in one line, either way; one that repeats the embeddings is not.
#[test]
fn tied_and_not() {
    use signclip_common::weights::Weights;
    use std::collections::BTreeMap;
    let own = LlamaConfig::tiny(40);
    let tied = LlamaConfig { tie_word_embeddings: true, ..own.clone() };
    let fresh = Weights::fresh(3, device(), Kind::Float);
    Llama::load(&fresh, &own, Tuning::Full).unwrap_or_else(|e| panic!("{e}"));
    let tensors: BTreeMap<String, Tensor> =
        fresh.parameters().into_iter().map(|(name, t)| (name, t.detach())).collect();
    let said = |config: &LlamaConfig, change: &dyn Fn(&mut BTreeMap<String, Tensor>)| {
        let mut tensors: BTreeMap<_, _> =
            tensors.iter().map(|(n, t)| (n.clone(), t.shallow_clone())).collect();
        change(&mut tensors);
        let weights = Weights::memory(tensors, Path::new("a folder"), device(), Kind::Float);
        let error = Llama::load(&weights, config, Tuning::Frozen).err();
        error.map(|e| e.to_string()).unwrap_or_default()
    };
    let (head, table) = ("lm_head.weight", "model.embed_tokens.weight");
    assert_eq!(said(&own, &|_| {}), "");
    assert_eq!(said(&tied, &|t| drop(t.remove(head))), "");
    let repeat = |t: &mut BTreeMap<String, Tensor>| drop(t.insert(head.to_owned(), t[table].copy()));
    assert_eq!(said(&tied, &repeat), "");
    for error in [said(&tied, &|_| {}), said(&own, &|t| drop(t.remove(head)))] {
        assert!(error.contains("a folder/config.json, tie_word_embeddings: "), "{error}");
        assert!(error.contains(head) && error.contains("; ") && !error.contains('\n'), "{error}");
    }
}

/// What a file leaves out is what transformers takes.
#[test]
fn defaults_of_the_configuration() {
    let json = json!({ "vocab_size": 8, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
        "num_attention_heads": 2 });
    let config =
        LlamaConfig::parse(&json.to_string(), Path::new("config.json")).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((config.key_value_heads(), config.head_dim(), config.rope_theta), (2, 4, 10_000.0));
    assert_eq!((config.bos_token_id, config.eos_token_id.ids()), (1, [2].as_slice()));
}
