//! What the runs of a table say: means and spread over the seeds, tests between rows.

use crate::runs::Run;
use crate::{Args, rows};
use signclip_common::{Error, Result};
use signclip_train::data::corpus::{Corpus, others};
use signclip_train::metrics::Scores;
use signclip_train::metrics::ablation::{Ablation, Against, COMPONENTS_TABLE, Resampling, Row, Seed};
use signclip_train::metrics::ambiguous::{AmbiguousWords, Cases};
use signclip_train::metrics::bleu::{BleuCounts, BleuOptions, ORDER};
use signclip_train::metrics::bootstrap::{Bootstrap, RESAMPLES, draws, resample};
use signclip_train::metrics::difference::{Difference, RunScore, hold, interval_of_mean};
use signclip_train::metrics::final_dot::FinalDot;
use signclip_train::metrics::numpy_random::SEED;
use signclip_train::metrics::predictions::{Line, Predictions};
use signclip_train::metrics::published::main_dot;
use signclip_train::metrics::sentence::{Measure, SentenceCounts};
use signclip_train::metrics::units::Units;
use std::fmt::Write;

/// One run's translations, scored.
struct Scored {
    seed: u64,
    scores: Scores,
    /// BLEU-4 of each resample.
    resamples: Vec<f64>,
    /// Share of translations that are their reference.
    exact: f64,
    /// BLEU-4 where each clip has another one's translation.
    bleu4_of_others: f64,
    cases: Option<Cases>,
    /// Accuracy on the cases in each resample of the sentences, 0 to 1.
    accuracies: Option<Vec<f64>>,
}

impl Scored {
    /// Errors: translations that cannot be read, or are not of the clips and references of `corpus`.
    fn of(run: &Run, split: &str, corpus: &Corpus, ambiguous: Option<&AmbiguousWords>) -> Result<Self> {
        let Predictions { file, lines: predictions, .. } = Predictions::read(&run.folder, split)?;
        let translated = predictions.iter().map(|line| (&line.id, &line.reference));
        if translated.ne(corpus.store.clips.iter().map(|clip| &clip.id).zip(&corpus.texts)) {
            let what = format!("not the clips and references of {}", corpus.store.folder.display());
            let remedy =
                format!("translate them again: evaluate --run {} --split {split}", run.folder.display());
            return Err(Error::input(file, "", what, remedy));
        }
        let texts = |text: fn(&Line) -> &String| predictions.iter().map(text).collect::<Vec<_>>();
        let units = Units::of(corpus.store.info.language.as_deref());
        let (hypotheses, references) = (texts(|p| &p.hypothesis), texts(|p| &p.reference));
        let counts = SentenceCounts::of_corpus(&hypotheses, &references, units);
        let exact = predictions.iter().filter(|p| p.hypothesis == p.reference).count();
        let turned = if predictions.len() > 1 { others(predictions.len(), run.seed) } else { vec![0] };
        let turned: Vec<&String> = turned.into_iter().map(|other| hypotheses[other]).collect();
        let dot = main_dot(corpus.store.info.text);
        let by_sentence: Option<Vec<Cases>> = ambiguous
            .map(|words| predictions.iter().map(|p| words.cases(&p.hypothesis, &p.reference)).collect());
        let accuracy = |cases: &[Cases], drawn: &[u32]| {
            let of_drawn: Cases = drawn.iter().map(|&sentence| cases[sentence as usize]).sum();
            of_drawn.accuracy().unwrap_or_default()
        };
        let resampled = resample(&counts);
        let bootstrap = Bootstrap::from_resamples(&resampled);
        Ok(Self {
            seed: run.seed,
            scores: Scores::with_bootstrap(&counts, dot, bootstrap),
            exact: exact as f64 / predictions.len() as f64,
            bleu4_of_others: bleu4_alone(&SentenceCounts::of_corpus(&turned, &references, units), units, dot),
            resamples: resampled.get(Measure::Bleu4).to_vec(),
            cases: by_sentence.as_ref().map(|cases| cases.iter().copied().sum()),
            accuracies: by_sentence.map(|cases| draws(cases.len(), |drawn| accuracy(&cases, drawn))),
        })
    }

    /// The accuracy on ambiguous words, where there is a list of them and a case.
    fn of_words(&self) -> Option<RunScore<'_>> {
        let (cases, resamples) = (self.cases?, self.accuracies.as_deref()?);
        Some(RunScore { score: cases.accuracy()?, resamples })
    }

    fn bleu4(&self) -> RunScore<'_> {
        RunScore { score: self.scores.get(Measure::Bleu4), resamples: &self.resamples }
    }
}

/// Of runs that are finished, on the split `corpus`.
pub(crate) fn summarise(
    runs: &[Run],
    rows: &[rows::Row],
    args: &Args,
    corpus: &Corpus,
    ambiguous: Option<&AmbiguousWords>,
) -> Result<Ablation> {
    let scored: Vec<Scored> =
        runs.iter().map(|run| Scored::of(run, &args.split, corpus, ambiguous)).collect::<Result<_>>()?;
    let first = &scored[0];
    let of_row = |row: usize| -> Vec<&Scored> { scored.iter().skip(row).step_by(rows.len()).collect() };
    let by_row: Vec<Vec<&Scored>> = (0..rows.len()).map(of_row).collect();
    let pairs: Vec<(usize, usize)> = (0..rows.len())
        .flat_map(|row| args.table.against(rows, row).into_iter().map(move |other| (row, other)))
        .collect();
    let difference = |&(row, other): &(usize, usize)| {
        let [a, b] = [other, row].map(|row| by_row[row].iter().map(|run| run.bleu4()).collect::<Vec<_>>());
        Difference::of(&a, &b, corpus.len())
    };
    let differences: Vec<Difference> = pairs.iter().map(difference).collect();
    let holds = hold(&differences);
    let against = |row: usize| {
        let of_row = pairs.iter().zip(&differences).zip(&holds).filter(move |((pair, _), _)| pair.0 == row);
        let of_other =
            |((&(_, other), difference), &holds): ((&(usize, usize), &Difference), &bool)| Against {
                row: rows[other].name.clone(),
                difference: difference.difference,
                interval: Some([difference.low, difference.high]),
                holds,
                seeds_known: difference.seeds_known,
                chance: Some(difference.chance),
                paper: rows[row].paper.zip(rows[other].paper).map(|(row, other)| row - other),
            };
        of_row.map(of_other).collect::<Vec<_>>()
    };
    let row_summary = |(number, row): (usize, &rows::Row)| {
        let seeds = &by_row[number];
        let shares = |share: fn(&Cases) -> usize| -> Option<Vec<f64>> {
            seeds.iter().map(|s| s.cases.map(|c| share(&c) as f64 / c.all as f64)).collect()
        };
        let accuracy = shares(|cases| cases.right);
        let of_words: Option<Vec<RunScore>> = seeds.iter().map(|scored| scored.of_words()).collect();
        Row {
            name: row.name.clone(),
            settings: row.settings.clone(),
            paper: None,
            bleu4: mean(&bleu4(seeds)),
            rouge_l: mean(&seeds.iter().map(|s| s.scores.get(Measure::RougeL)).collect::<Vec<_>>()),
            ambiguous_accuracy: accuracy.as_deref().map(mean),
            ambiguous_interval: of_words.map(|runs| interval_of_mean(&runs, corpus.len())),
            exact: Some(mean(&seeds.iter().map(|s| s.exact).collect::<Vec<_>>())),
            bleu4_of_others: Some(mean(&seeds.iter().map(|s| s.bleu4_of_others).collect::<Vec<_>>())),
            ambiguous_swapped: shares(|cases| cases.swapped).as_deref().map(mean),
            bleu4_deviation: deviation(&bleu4(seeds)),
            ambiguous_accuracy_deviation: accuracy.as_deref().and_then(deviation),
            by_seed: seeds.iter().map(|s| of_seed(s)).collect(),
            against: against(number),
        }
    };
    Ok(Ablation {
        features: args
            .features
            .iter()
            .map(|folder| folder.display().to_string())
            .collect::<Vec<_>>()
            .join(", "),
        split: args.split.clone(),
        sentences: corpus.len(),
        seeds: by_row[0].iter().map(|s| s.seed).collect(),
        shared: args.shared_arguments(),
        signatures: [Measure::Bleu4, Measure::RougeL].map(|m| first.scores.signature(m).to_owned()),
        bootstrap: Resampling { resamples: RESAMPLES, seed: SEED },
        ambiguous_cases: first.cases.map(|cases| cases.all),
        paper_table: COMPONENTS_TABLE,
        notes: Vec::new(),
        rows: rows.iter().enumerate().map(row_summary).collect(),
        best: None,
    })
}

/// The table for people.
pub(crate) fn markdown(ablation: &Ablation) -> String {
    let Ablation { sentences, split, seeds, bootstrap, signatures, .. } = ablation;
    let seeds: Vec<String> = seeds.iter().map(u64::to_string).collect();
    let mut out = format!(
        "`train {}`; {sentences} sentences of {split}, seeds {}.\n\n",
        ablation.shared.join(" "),
        seeds.join(", ")
    );
    let ambiguous = ablation.ambiguous_cases.is_some();
    let column = |text: &str| if ambiguous { format!(" {text} |") } else { String::new() };
    let beside = ablation.rows.iter().any(|row| row.paper.is_some());
    let paper_column = |text: String| if beside { format!(" {text} |") } else { String::new() };
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "| row | BLEU-4 | of each seed | with other clips | ROUGE-L | exact |{}{} difference in BLEU-4 |",
        paper_column(format!("BLEU-4, ROUGE-L in the paper's Table {}", ablation.paper_table)),
        column("ambiguous words")
    );
    let dashes = |there: bool| if there { "---|" } else { "" };
    let _ = writeln!(out, "|---|---|---|---|---|---|{}{}---|", dashes(beside), dashes(ambiguous));
    for row in &ablation.rows {
        let spread = row.bleu4_deviation.map_or(String::new(), |d| format!(" ± {d:.2}"));
        let each: Vec<String> = row.by_seed.iter().map(|s| format!("{:.2}", s.bleu4)).collect();
        let spread_of_words = row
            .ambiguous_interval
            .map_or(String::new(), |[low, high]| format!(" [{:.1}, {:.1}]", 100.0 * low, 100.0 * high));
        let words = row.ambiguous_accuracy.map(|a| column(&format!("{:.1} %{spread_of_words}", 100.0 * a)));
        let against: Vec<String> = (row.against.iter())
            .map(|a| {
                let paper = a.paper.map_or(String::new(), |paper| format!("; paper {paper:+.2}"));
                let doubt = if a.holds { "" } else { ", not certain" };
                format!("{} on {}{doubt}{paper}", a.shown(), a.row)
            })
            .collect();
        let _ = writeln!(
            out,
            "| {} | {:.2}{spread} | {} | {} | {:.2} | {} |{}{} {} |",
            row.name,
            row.bleu4,
            each.join(", "),
            row.bleu4_of_others.map_or("–".to_owned(), |bleu4| format!("{bleu4:.2}")),
            row.rouge_l,
            row.exact.map_or("–".to_owned(), percent),
            paper_column(row.paper.map_or("–".to_owned(), |p| format!("{:.2}, {:.2}", p.bleu[3], p.rouge_l))),
            words.unwrap_or_default(),
            against.join("; ")
        );
    }
    if let Some(best) = ablation.best {
        for (name, best) in [("hands and mouth", best.hands_and_mouth), ("hands alone", best.hands_alone)] {
            let _ = writeln!(
                out,
                "| *best possible, {name}* | – | – | – | – | {} |{}{}  |",
                percent(best.exact_sentences),
                paper_column("–".to_owned()),
                column(&percent(best.ambiguous_accuracy))
            );
        }
    }
    let _ = writeln!(
        out,
        "\nMeans over the seeds ± standard deviation. Exact: sentences that are their reference. With other clips: BLEU-4 where \
         each clip has another one's features, which is reached without looking. In brackets: 95 % interval of the \
         bootstrap over seeds and sentences, \
         {} resamples; not certain: may be chance, by Holm's correction for all differences of the table, or because one \
         seed says nothing of the spread between seeds. BLEU-4: `{}`. ROUGE-L: `{}`.",
        bootstrap.resamples, signatures[0], signatures[1]
    );
    if let Some(cases) = ablation.ambiguous_cases {
        let _ = writeln!(
            out,
            "Ambiguous words: how many of the {cases} words that look like another one on the hands are in the \
             translation, and not the other one; guessing gives 50 % at most."
        );
    }
    let table = ablation.paper_table;
    if let Some(missed) = ablation.not_reproduced() {
        let _ = match missed.as_slice() {
            [] => {
                writeln!(
                    out,
                    "\nEvery difference of the paper's Table {table} is here too (same sign, and certain)."
                )
            }
            missed => writeln!(out, "\nOf the paper's Table {table} not shown here: {}.", missed.join("; ")),
        };
    }
    if !ablation.notes.is_empty() {
        let _ = writeln!(out, "\n{}", ablation.notes.join(" "));
    }
    out
}

/// A share as it is read.
fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// BLEU-4 without anything else.
fn bleu4_alone(sentences: &[SentenceCounts], units: Units, dot: FinalDot) -> f64 {
    let mut sums = BleuCounts::default();
    sentences.iter().for_each(|sentence| sums += sentence.bleu);
    BleuOptions::of(units).score(&sums, dot).bleu[ORDER - 1]
}

fn of_seed(scored: &Scored) -> Seed {
    Seed {
        seed: scored.seed,
        bleu4: scored.scores.get(Measure::Bleu4),
        rouge_l: scored.scores.get(Measure::RougeL),
        ambiguous_accuracy: scored.cases.and_then(|cases| cases.accuracy()),
    }
}

fn bleu4(seeds: &[&Scored]) -> Vec<f64> {
    seeds.iter().map(|s| s.scores.get(Measure::Bleu4)).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Standard deviation with n − 1; `None` of a single value.
fn deviation(values: &[f64]) -> Option<f64> {
    let squares: f64 = values.iter().map(|value| (value - mean(values)).powi(2)).sum();
    (values.len() > 1).then(|| (squares / (values.len() - 1) as f64).sqrt())
}
