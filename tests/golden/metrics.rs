//! Scores against sacrebleu, rouge-score, NLTK's Porter stemmer and neccam/slt.

use crate::case::Case;
use serde_json::Value;
use signclip_train::metrics::bleu::{Bleu, BleuOptions};
use signclip_train::metrics::final_dot::FinalDot;
use signclip_train::metrics::rouge::{LcsF, Prf, RougeL, rouge_tokens};
use signclip_train::metrics::sentence::SentenceCounts;
use signclip_train::metrics::tokenizer_13a::{tokenize_13a, trim_end};
use signclip_train::metrics::units::Units;
use signclip_train::metrics::{Scores, porter};
use tch::{Kind, Tensor};

/// The numbers of a JSON array.
fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no text {key} in {value}"))
}

struct Check {
    /// Largest allowed relative difference.
    tolerance: f64,
}

impl Check {
    fn equal(&self, what: &str, got: &[f64], want: &Value) {
        let want = if want.is_array() { numbers(want) } else { want.as_f64().into_iter().collect() };
        assert_eq!(got.len(), want.len(), "{what}: how many");
        for (got, want) in got.iter().zip(want) {
            assert!(
                (got - want).abs() <= self.tolerance * want.abs(),
                "{what}: {got} where {want} is wanted"
            );
        }
    }

    fn prf(&self, what: &str, got: &Prf, want: &Value) {
        self.equal(what, &[got.precision, got.recall, got.f1], want);
    }

    /// `want` holds one corpus score of sacreBLEU per maximum order, and its signature.
    fn bleu(&self, what: &str, got: &Bleu, want: &Value) {
        let counts = |counts: &[u64]| counts.iter().map(|c| *c as f64).collect::<Vec<_>>();
        for n in 1..=got.bleu.len() {
            let what = format!("{what} BLEU-{n}");
            let want = &want[format!("bleu{n}")];
            self.equal(&what, &[got.bleu[n - 1]], &want["score"]);
            self.equal(&format!("{what} bp"), &[got.bp], &want["bp"]);
            self.equal(&format!("{what} sys_len"), &[got.sys_len as f64], &want["sys_len"]);
            self.equal(&format!("{what} ref_len"), &[got.ref_len as f64], &want["ref_len"]);
            self.equal(&format!("{what} counts"), &counts(&got.counts[..n]), &want["counts"]);
            self.equal(&format!("{what} totals"), &counts(&got.totals[..n]), &want["totals"]);
            self.equal(&format!("{what} precisions"), &got.precisions[..n], &want["precisions"]);
        }
        let without_version = |signature: &str| signature.split("|version:").next().map(str::to_owned);
        assert_eq!(without_version(&got.signature), without_version(text(want, "signature")), "{what}");
    }
}

fn load() -> Option<(Case, Check)> {
    let case = Case::load("metrics")?;
    let check = Check { tolerance: case.tolerance("scores") };
    Some((case, check))
}

fn pairs(case: &Case) -> Vec<&Value> {
    case.json["pairs"].as_array().expect("a list of pairs").iter().collect()
}

#[test]
fn metrics_corpora() {
    let Some((case, check)) = load() else { return };
    let pairs = pairs(&case);
    for (name, corpus) in case.json["corpora"].as_object().expect("corpora") {
        let indices: Vec<usize> = numbers(&corpus["indices"]).iter().map(|i| *i as usize).collect();
        let hyps: Vec<&str> = indices.iter().map(|&i| text(pairs[i], "hyp")).collect();
        let refs: Vec<&str> = indices.iter().map(|&i| text(pairs[i], "ref")).collect();
        let scores = Scores::of(&hyps, &refs, Units::Words, FinalDot::AsGiven);
        check.bleu(name, &scores.bleu, &corpus["bleu"]);
        check.bleu(&format!("{name} lower case"), &scores.bleu_lowercase, &corpus["bleu_lowercase"]);
        if !corpus["slt_raw_bleu_1_to_4"].is_null() {
            check.equal(&format!("{name} slt"), &scores.bleu_slt.bleu, &corpus["slt_raw_bleu_1_to_4"]);
        }
    }
    let hyps: Vec<&str> = pairs.iter().map(|pair| text(pair, "hyp")).collect();
    let refs: Vec<&str> = pairs.iter().map(|pair| text(pair, "ref")).collect();
    let (scores, rouge) =
        (Scores::of(&hyps, &refs, Units::Words, FinalDot::AsGiven), &case.json["rouge_corpus"]);
    for (name, got) in
        [("rougeL_stem", scores.rouge_l.mean), ("rougeL_nostem", scores.rouge_l_unstemmed.mean)]
    {
        check.equal(name, &[got.precision], &rouge[name]["precision"]);
        check.equal(name, &[got.recall], &rouge[name]["recall"]);
        check.equal(name, &[got.f1], &rouge[name]["f1"]);
    }
    check.equal("rougeL_beta12_x100", &[scores.rouge_l_slt.f], &rouge["rougeL_beta12_x100"]);
}

#[test]
fn metrics_pairs() {
    let Some((case, check)) = load() else { return };
    for pair in pairs(&case) {
        let (hyp, reference) = (text(pair, "hyp"), text(pair, "ref"));
        assert_eq!(tokenize_13a(trim_end(hyp)), text(pair, "hyp_13a"));
        assert_eq!(tokenize_13a(trim_end(reference)), text(pair, "ref_13a"));
        for (key, text, stem) in [
            ("rouge_tokens_hyp", hyp, false),
            ("rouge_stems_hyp", hyp, true),
            ("rouge_stems_ref", reference, true),
        ] {
            assert_eq!(Value::from(rouge_tokens(text, stem)), pair[key], "{key} of {text:?}");
        }
        check.prf(hyp, &RougeL::sentence(hyp, reference, true), &pair["rougeL_stem"]);
        check.prf(hyp, &RougeL::sentence(hyp, reference, false), &pair["rougeL_nostem"]);
        check.equal(hyp, &[LcsF::sentence(hyp, reference)], &pair["rougeL_beta12"]);
        let bleu = BleuOptions::SACREBLEU.sentence(hyp, reference);
        check.equal(hyp, &[bleu], &pair["sentence_bleu_effective_order"]);
        // What predictions.jsonl says of a sentence, 0 to 100.
        let scores = SentenceCounts::of(hyp, reference, Units::Words).scores();
        check.equal(hyp, &[scores.bleu4], &pair["sentence_bleu_effective_order"]);
        check.equal(hyp, &[scores.rouge_l / 100.0], &pair["rougeL_stem"][2]);
        check.equal(hyp, &[scores.rouge_l_slt / 100.0], &pair["rougeL_beta12"]);
    }
}

/// The arrays beside the JSON, in float32, and what the JSON says of them as a whole.
#[test]
fn metrics_arrays() {
    let Some((case, _)) = load() else { return };
    let pairs = pairs(&case);
    let rows = |row: &dyn Fn(&str, &str) -> Vec<f64>| {
        let values: Vec<f64> =
            pairs.iter().flat_map(|pair| row(text(pair, "hyp"), text(pair, "ref"))).collect();
        let per_pair = values.len() / pairs.len();
        let all = Tensor::from_slice(&values);
        if per_pair == 1 { all } else { all.reshape([pairs.len() as i64, per_pair as i64]) }
    };
    let prf = |stem| {
        rows(&|hyp, reference| {
            let Prf { precision, recall, f1 } = RougeL::sentence(hyp, reference, stem);
            vec![precision, recall, f1]
        })
    };
    for (name, got) in [
        ("rougeL_stem", prf(true)),
        ("rougeL_nostem", prf(false)),
        ("rougeL_beta12", rows(&|hyp, reference| vec![LcsF::sentence(hyp, reference)])),
    ] {
        // Half a step of float32 at 1.
        case.check(name, &got.to_kind(Kind::Float), 6e-8, 6e-8);
        let l2 = got.square().sum(Kind::Double).sqrt().double_value(&[]);
        for (statistic, got) in [
            ("l2", l2),
            ("mean", got.mean(Kind::Double).double_value(&[])),
            ("std", got.std(false).double_value(&[])),
        ] {
            let want = case.number(&format!("/arrays/{name}/{statistic}"));
            assert!((got - want).abs() <= 1e-7 * want, "{name} {statistic}: {got} {want}");
        }
    }
}

#[test]
fn metrics_porter_stems() {
    let Some((case, _)) = load() else { return };
    for (word, stem) in case.json["porter_stems"].as_object().expect("stems") {
        assert_eq!(Value::from(porter::stem(word)), *stem, "stem of {word}");
    }
}
