//! What a study is to show, fixed before it is run: statements about differences in BLEU-4 between the rows of its tables,
//! and whether the tables confirm or refute them.
//!
//! A statement has parts, each of which says in what range a difference lies. With the 95 % interval of the difference
//! (over seeds and sentences) a part is confirmed where the interval lies in the range, refuted where it lies outside of
//! it, and else undecided. That there is a gain at all also has to hold after the correction for the number of differences
//! in all tables. A statement is confirmed with all of its parts, refuted with any, and undecided where a table is missing
//! or has one seed.
//!
//! "No more than noise" means twice the standard deviation of a run between seeds, of both rows together: some 95 % of the
//! runs of one configuration lie within it. With five seeds a row, an interval is 1.5 deviations wide to each side where
//! only the seeds vary. Rows that do not differ are then confirmed four times of five, and less often where sentences vary,
//! too; with one deviation for noise it would be one time of five.

use super::ablation::{Ablation, Against, Row};
use super::difference::holm;
use signclip_common::{Error, Result};
use std::fmt::Write;

/// The tables that statements are about. All but `random` are of a pretrained language model.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    /// Of the three levels of the rendered corpus.
    pub clean: Option<Ablation>,
    pub noisy: Option<Ablation>,
    pub lagged: Option<Ablation>,
    /// As `noisy`, with a language model that starts from random numbers.
    pub random: Option<Ablation>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Confirmed,
    Refuted,
    Undecided,
}

/// Where a difference is to lie.
#[derive(Debug, Clone, Copy)]
enum Range {
    /// More than 0, and certainly so.
    Gain,
    /// A gain of no more than this.
    GainUpTo(f64),
    MoreThan(f64),
    /// No more than twice the standard deviation between seeds, of both rows.
    NoMoreThanNoise,
    /// No more than half of the row's own score, so that the row below has the other half.
    AtMostHalf,
    MoreThanHalf,
}

#[derive(Debug, Clone, Copy)]
enum Which {
    Clean,
    Noisy,
    Lagged,
    Random,
}

struct Part {
    table: Which,
    row: &'static str,
    below: &'static str,
    range: Range,
}

const fn part(table: Which, row: &'static str, below: &'static str, range: Range) -> Part {
    Part { table, row, below, range }
}

/// The statements. They stand before every run that they judge; what they say is not to be changed after it.
const STATEMENTS: &[(&str, &[Part])] = &[
    (
        "The alignment with the text helps a pretrained model a little (up to 10), and a random one far more (over 40).",
        &[
            part(Which::Noisy, "spatial+vt", "spatial", Range::GainUpTo(10.0)),
            part(Which::Random, "spatial+vt", "spatial", Range::MoreThan(40.0)),
        ],
    ),
    (
        "Without the alignment a random model stays on a plateau, below half of what it reaches with it; a pretrained one does \
         not.",
        &[
            part(Which::Random, "spatial+vt", "spatial", Range::MoreThanHalf),
            part(Which::Noisy, "spatial+vt", "spatial", Range::AtMostHalf),
        ],
    ),
    (
        "Fusion without losses does not help.",
        &[part(Which::Noisy, "both", "spatial", Range::NoMoreThanNoise)],
    ),
    (
        "With the alignment mouthing helps, and the mouthing of another clip does not.",
        &[
            part(Which::Noisy, "both+vt", "spatial+vt", Range::Gain),
            part(Which::Noisy, "shuffled+vt", "spatial+vt", Range::NoMoreThanNoise),
        ],
    ),
    (
        "The alignment of hands and mouth helps where they are noisy or lagged, and not where they are clean.",
        &[
            part(Which::Noisy, "both+vt+sm", "both+vt", Range::Gain),
            part(Which::Lagged, "both+vt+sm", "both+vt", Range::Gain),
            part(Which::Clean, "both+vt+sm", "both+vt", Range::NoMoreThanNoise),
        ],
    ),
];

/// The differences that statements are about: a row, and the one that it adds something to.
pub fn judged_differences() -> impl Iterator<Item = (&'static str, &'static str)> {
    STATEMENTS.iter().flat_map(|(_, parts)| parts.iter()).map(|part| (part.row, part.below))
}

/// A statement, judged.
#[derive(Debug)]
pub struct Judged {
    pub statement: &'static str,
    pub verdict: Verdict,
    /// The numbers of each part.
    pub parts: Vec<(Verdict, String)>,
}

impl Tables {
    fn all(&self) -> [(&'static str, Option<&Ablation>); 4] {
        let Self { clean, noisy, lagged, random } = self;
        [("clean", clean), ("noisy", noisy), ("lagged", lagged), ("random", random)]
            .map(|(name, table)| (name, table.as_ref()))
    }

    /// Errors: two levels with the same features, or a random model that is the pretrained one: a file given for another; two
    /// splits.
    pub fn check(&self) -> Result<()> {
        let there = || self.all().into_iter().filter_map(|(name, table)| Some((name, table?)));
        for (at, (name, table)) in there().enumerate() {
            for (other, before) in there().take(at) {
                let random = (name, other) == ("random", "noisy");
                let what = if before.split != table.split {
                    format!("is of {}, and --{other} of {}", table.split, before.split)
                } else if random && before.shared == table.shared {
                    format!("was trained with the settings of --{other}, the language model among them")
                } else if !random && name != "random" && before.features == table.features {
                    format!("is of the features of --{other}, {}", table.features)
                } else {
                    continue;
                };
                return Err(Error::usage(
                    format!("--{name}: the table {what}"),
                    "give each flag its own table",
                ));
            }
        }
        Ok(())
    }

    /// Lets only those differences hold that do after the correction for all of all tables.
    fn correct(&mut self) {
        let Self { clean, noisy, lagged, random } = self;
        let tables = [clean, noisy, lagged, random].into_iter().flatten();
        let mut all: Vec<(&mut Against, f64)> = tables
            .flat_map(|table| table.rows.iter_mut().flat_map(|row| &mut row.against))
            .filter_map(|against| against.chance.map(|chance| (against, chance)))
            .collect();
        let chances: Vec<f64> = all.iter().map(|(_, chance)| *chance).collect();
        all.iter_mut().zip(holm(&chances)).for_each(|((against, _), holds)| against.holds &= holds);
    }
}

/// All statements.
pub fn verdicts(tables: &Tables) -> Vec<Judged> {
    let mut tables = tables.clone();
    tables.correct();
    let judge = |&(statement, parts): &(&'static str, &[Part])| {
        let parts: Vec<(Verdict, String)> = parts.iter().map(|part| part.judge(&tables)).collect();
        let has = |wanted: Verdict| parts.iter().any(|(verdict, _)| *verdict == wanted);
        let verdict = match (has(Verdict::Refuted), has(Verdict::Undecided)) {
            (true, _) => Verdict::Refuted,
            (false, true) => Verdict::Undecided,
            (false, false) => Verdict::Confirmed,
        };
        Judged { statement, verdict, parts }
    };
    STATEMENTS.iter().map(judge).collect()
}

/// The statements as a table, in Markdown.
pub fn markdown(judged: &[Judged]) -> String {
    let mut out =
        "| statement, fixed before the run | verdict | numbers (BLEU-4, 95 % interval) |\n|---|---|---|\n"
            .to_owned();
    for Judged { statement, verdict, parts } in judged {
        let numbers: Vec<String> =
            parts.iter().map(|(verdict, numbers)| format!("{numbers}: {}", verdict.name())).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(out, "| {statement} | **{}** | {} |", verdict.name(), numbers.join("; "));
    }
    out
}

impl Verdict {
    pub fn name(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Refuted => "refuted",
            Self::Undecided => "undecided",
        }
    }
}

impl Which {
    fn of(self, tables: &Tables) -> (&'static str, Option<&Ablation>) {
        match self {
            Self::Clean => ("clean", tables.clean.as_ref()),
            Self::Noisy => ("noisy", tables.noisy.as_ref()),
            Self::Lagged => ("lagged", tables.lagged.as_ref()),
            Self::Random => ("random", tables.random.as_ref()),
        }
    }
}

impl Part {
    fn judge(&self, tables: &Tables) -> (Verdict, String) {
        let &Self { table, row, below, range } = self;
        let (name, table) = table.of(tables);
        let undecided = |what: &str| (Verdict::Undecided, format!("{name}: {row} on {below}, {what}"));
        let Some(table) = table else { return undecided("no such table") };
        let found = table.rows.iter().find(|other| other.name == row);
        let Some(against) = found.and_then(|found| found.against.iter().find(|other| other.row == below))
        else {
            return undecided("not in the table");
        };
        let Some([low, high]) = against.interval else { return undecided("without an interval") };
        if !against.seeds_known {
            return undecided("with one seed");
        }
        let of = |name: &str| table.rows.iter().find(|row| row.name == name);
        let half = 0.5 * of(row).map_or(0.0, |row| row.bleu4);
        let (least, most) = match range {
            Range::Gain => (0.0, f64::INFINITY),
            Range::GainUpTo(most) => (0.0, most),
            Range::MoreThan(least) => (least, f64::INFINITY),
            Range::AtMostHalf => (f64::NEG_INFINITY, half),
            Range::MoreThanHalf => (half, f64::INFINITY),
            Range::NoMoreThanNoise => {
                let deviation = |row: Option<&Row>| row.and_then(|row| row.bleu4_deviation);
                let (Some(one), Some(other)) = (deviation(of(row)), deviation(of(below))) else {
                    return undecided("without the spread between seeds");
                };
                (f64::NEG_INFINITY, 2.0 * (0.5 * (one * one + other * other)).sqrt())
            }
        };
        let of_gain = matches!(range, Range::Gain | Range::GainUpTo(_));
        let verdict = if low > least && high <= most && (against.holds || !of_gain) {
            Verdict::Confirmed
        } else if high <= least || low > most {
            Verdict::Refuted
        } else {
            Verdict::Undecided
        };
        let wanted = match range {
            Range::Gain => "a gain".to_owned(),
            Range::GainUpTo(most) => format!("a gain up to {most:.0}"),
            Range::MoreThan(least) => format!("more than {least:.0}"),
            Range::NoMoreThanNoise => format!("no more than {most:.2}, twice the spread between seeds"),
            Range::AtMostHalf => format!("at most {half:.2}, half of {row}"),
            Range::MoreThanHalf => format!("more than {half:.2}, half of {row}"),
        };
        (verdict, format!("{name}: {row} on {below} {}, expected {wanted}", against.shown()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A table of rows with one difference each: name, the row below, difference, interval, whether it holds.
    fn table(rows: &[(&str, &str, f64, [f64; 2], bool)]) -> Ablation {
        let row = |name: &str, against: serde_json::Value| {
            json!({ "name": name, "settings": [], "bleu4": 60.0, "rouge_l": 1.0, "by_seed": [], "bleu4_deviation": 0.75,
                    "against": against })
        };
        let rows: Vec<_> = [row("spatial", json!([]))]
            .into_iter()
            .chain(rows.iter().map(|&(name, below, difference, interval, holds)| {
                row(
                    name,
                    json!([{ "row": below, "difference": difference, "interval": interval, "holds": holds,
                             "seeds_known": true }]),
                )
            }))
            .collect();
        serde_json::from_value(json!({
            "features": "", "split": "test", "sentences": 2, "seeds": [0, 1], "shared": [], "signatures": ["", ""],
            "bootstrap": { "resamples": 1000, "seed": 12345 }, "rows": rows
        }))
        .expect("a table")
    }

    /// All three ways for each statement.
    #[test]
    fn judged_by_hand() {
        use Verdict::{Confirmed, Refuted, Undecided};
        let noisy = table(&[
            ("spatial+vt", "spatial", 4.0, [1.0, 7.0], true),
            ("both", "spatial", -3.0, [-6.0, 0.0], false),
            ("both+vt", "spatial+vt", 9.0, [5.0, 13.0], true),
            ("shuffled+vt", "spatial+vt", 0.0, [-2.0, 2.0], false),
            ("both+vt+sm", "both+vt", 2.0, [0.5, 3.5], true),
        ]);
        let lagged = table(&[("both+vt+sm", "both+vt", 1.0, [-0.5, 2.5], false)]);
        let random = table(&[("spatial+vt", "spatial", 60.0, [50.0, 70.0], true)]);
        let both_vt = ("both+vt", "spatial", 9.0, [5.0, 13.0], true);
        let clean = table(&[both_vt, ("both+vt+sm", "both+vt", 3.0, [2.0, 4.0], true)]);
        let of = |tables: &Tables| verdicts(tables).iter().map(|judged| judged.verdict).collect::<Vec<_>>();
        // Nothing is known of nothing.
        assert_eq!(of(&Tables::default()), [Undecided; 5]);
        let mut tables =
            Tables { noisy: Some(noisy), random: Some(random), lagged: Some(lagged), clean: None };
        // Another clip's mouthing may help by up to 2, the noise is 1.5; whether the lagged one is helped is not known.
        assert_eq!(of(&tables), [Confirmed, Confirmed, Confirmed, Undecided, Undecided]);
        // It helps where it should not.
        tables.clean = Some(clean);
        assert_eq!(of(&tables), [Confirmed, Confirmed, Confirmed, Undecided, Refuted]);
        // A gain of random models that is too small, and no half of the 60; one of pretrained ones that is too large.
        tables.random = Some(table(&[("spatial+vt", "spatial", 20.0, [10.0, 30.0], true)]));
        assert_eq!(of(&tables)[..2], [Refuted, Refuted]);
        tables.noisy = Some(table(&[
            ("spatial+vt", "spatial", 20.0, [12.0, 28.0], true),
            ("both", "spatial", 4.0, [2.0, 6.0], true),
            ("both+vt", "spatial+vt", 9.0, [5.0, 13.0], true),
            ("shuffled+vt", "spatial+vt", 0.0, [-1.0, 1.0], false),
            // The interval is above 0, but not after the correction.
            ("both+vt+sm", "both+vt", 2.0, [0.1, 3.9], false),
        ]));
        tables.clean = Some(table(&[both_vt, ("both+vt+sm", "both+vt", 0.0, [-1.0, 1.0], false)]));
        tables.lagged = Some(table(&[("both+vt+sm", "both+vt", 2.0, [1.0, 3.0], true)]));
        assert_eq!(of(&tables), [Refuted, Refuted, Refuted, Confirmed, Undecided]);
        let page = markdown(&verdicts(&tables));
        assert!(
            page.contains("both+vt on spatial+vt +9.00 [+5.00, +13.00], expected a gain: confirmed"),
            "{page}"
        );
    }

    /// A table of an earlier version, which has p-values, decides nothing.
    #[test]
    fn tables_without_intervals() {
        let mut old = table(&[("both", "spatial", 4.0, [2.0, 6.0], true)]);
        old.rows[1].against[0].interval = None;
        let judged = verdicts(&Tables { noisy: Some(old), ..Tables::default() });
        assert_eq!(judged[2].verdict, Verdict::Undecided);
        assert!(judged[2].parts[0].1.contains("without an interval"), "{judged:?}");
    }

    /// One seed decides nothing, whatever its interval.
    #[test]
    fn one_seed() {
        let mut one = table(&[("both", "spatial", -3.0, [-6.0, 0.0], false)]);
        one.rows[1].against[0].seeds_known = false;
        let judged = verdicts(&Tables { noisy: Some(one), ..Tables::default() });
        assert_eq!(judged[2].verdict, Verdict::Undecided);
        assert!(judged[2].parts[0].1.contains("with one seed"), "{judged:?}");
    }

    /// Holm over all tables: 0.03 is a gain where it is alone, and none beside another.
    #[test]
    fn the_correction_is_for_all_tables() {
        let with = |chance| {
            let mut table = table(&[("both+vt+sm", "both+vt", 2.0, [0.1, 3.9], true)]);
            table.rows[1].against[0].chance = Some(chance);
            table
        };
        let of = |tables: &Tables| verdicts(tables)[4].parts[0].0;
        let mut tables = Tables { noisy: Some(with(0.03)), ..Tables::default() };
        assert_eq!(of(&tables), Verdict::Confirmed);
        tables.lagged = Some(with(0.04));
        assert_eq!(of(&tables), Verdict::Undecided);
    }

    /// One file given for two tables.
    #[test]
    fn tables_that_are_one() {
        let mut noisy = table(&[]);
        noisy.features = "study/noisy/cache".to_owned();
        let refused = |tables: Tables| tables.check().err().map(|e| e.to_string()).unwrap_or_default();
        let both = |clean, random| Tables { noisy: Some(noisy.clone()), clean, random, lagged: None };
        assert!(refused(both(Some(noisy.clone()), None)).contains("features of --"));
        assert!(refused(both(None, Some(noisy.clone()))).contains("--random: the table was trained with"));
        let (mut clean, mut random) = (noisy.clone(), noisy.clone());
        clean.features = "study/clean/cache".to_owned();
        random.shared = vec!["--set".to_owned(), "language_model.path=tiny".to_owned()];
        assert_eq!(refused(both(Some(clean.clone()), Some(random))), "");
        clean.split = "dev".to_owned();
        assert!(refused(both(Some(clean), None)).contains("is of test, and --clean of dev"));
    }
}
