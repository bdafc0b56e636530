//! The rows of the tables: which settings each one changes.

use clap::ValueEnum;
use signclip_common::{Error, Result, json};
use signclip_train::config::TrainConfig;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Table {
    /// The paper's Table 5: spatial and mouthing encoder, alignment with the text, alignment of both streams
    Components,
    /// What the paper leaves open, one choice changed in each row
    Readings,
    /// Mouthing of another clip: what a second stream gives that says nothing of the clip
    Control,
    /// The paper's Table 6: each language model in a folder of the weights folder; with --preset tiny small ones of each
    /// family, trained from nothing
    Models,
    /// The study's: the components alone and together, and the control with the alignment alone
    Study,
}

/// Settings of one row, laid over those that all rows share.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// As `--set` takes them.
    pub(crate) settings: Vec<String>,
    /// BLEU-4 in the paper's table.
    pub(crate) paper: Option<f64>,
}

/// A row that is the same everywhere.
struct Fixed {
    name: &'static str,
    settings: &'static [&'static str],
    /// BLEU-4 in the paper's Table 5.
    paper: Option<f64>,
}

const fn row(name: &'static str, settings: &'static [&'static str]) -> Fixed {
    Fixed { name, settings, paper: None }
}

/// A row of the paper's Table 5.
const fn component(name: &'static str, paper: f64, settings: &'static [&'static str]) -> Fixed {
    Fixed { name, settings, paper: Some(paper) }
}

/// Everything the paper has; its settings are nobody's but the shared ones.
const FULL: Fixed = component("both+vt+sm", 24.71, &["head.streams=both"]);
const SPATIAL: Fixed = component("spatial", 19.87, &["head.streams=spatial", "loss.alpha=0", "loss.beta=0"]);

const MOUTHING: Fixed =
    component("mouthing", 12.73, &["head.streams=mouthing", "loss.alpha=0", "loss.beta=0"]);
const BOTH: Fixed = component("both", 18.93, &["head.streams=both", "loss.alpha=0", "loss.beta=0"]);
const SPATIAL_VT: Fixed = component("spatial+vt", 20.72, &["head.streams=spatial", "loss.beta=0"]);
const BOTH_VT: Fixed = component("both+vt", 22.33, &["head.streams=both", "loss.beta=0"]);

/// In the order of the paper's Table 5.
const COMPONENTS: &[Fixed] = &[SPATIAL, MOUTHING, BOTH, SPATIAL_VT, BOTH_VT, FULL];

/// The names are those that the verdicts go by.
const STUDY: &[Fixed] = &[
    SPATIAL,
    MOUTHING,
    BOTH,
    SPATIAL_VT,
    row("mouthing+vt", &["head.streams=mouthing", "loss.beta=0"]),
    BOTH_VT,
    row("both+sm", &["head.streams=both", "loss.alpha=0"]),
    FULL,
    row("shuffled+vt", &["head.streams=both", "loss.beta=0", "shuffle_mouthing=true"]),
];

const READINGS: &[Fixed] = &[
    FULL,
    row("text-encoder", &["head.streams=both", "loss.vt_target=encoder"]),
    row("symmetric", &["head.streams=both", "loss.symmetric=true"]),
    row("concatenation", &["head.streams=both", "head.fusion=concatenation"]),
    row("addition", &["head.streams=both", "head.fusion=addition"]),
    row("one-convolution", &["head.streams=both", "head.conv=same"]),
    row("mean-over-padding", &["head.streams=both", "loss.vt_mean=all"]),
    row("norm-over-padding", &["head.streams=both", "head.norm_over=all"]),
];

const CONTROL: &[Fixed] =
    &[SPATIAL, FULL, row("shuffled-mouthing", &["head.streams=both", "shuffle_mouthing=true"])];

impl Table {
    /// Its rows, where they are the same everywhere; none otherwise.
    pub(crate) fn fixed(self) -> Vec<Row> {
        let rows = match self {
            Self::Components => COMPONENTS,
            Self::Readings => READINGS,
            Self::Control => CONTROL,
            Self::Study => STUDY,
            Self::Models => &[],
        };
        let row = |row: &Fixed| Row {
            name: row.name.to_owned(),
            settings: row.settings.iter().map(|setting| (*setting).to_owned()).collect(),
            paper: row.paper,
        };
        rows.iter().map(row).collect()
    }

    /// Name of its files, without the ending.
    pub(crate) fn file(self) -> &'static str {
        match self {
            Self::Components => "ablation",
            Self::Readings => "readings",
            Self::Control => "control",
            Self::Models => "models",
            Self::Study => "study",
        }
    }

    /// The rows that each row is tested against: the one above where each adds something, and the first.
    pub(crate) fn against(self, row: usize) -> Vec<usize> {
        let mut others = match (self, row) {
            (_, 0) => Vec::new(),
            (Self::Components, row) => vec![row - 1, 0],
            // Each with what it adds something to; the control with the hands alone and with its own mouthing.
            (Self::Study, row) => {
                let below: &[&str] = match STUDY[row].name {
                    "spatial+vt" | "mouthing" => &["spatial"],
                    "both" => &["spatial", "mouthing"],
                    "mouthing+vt" => &["mouthing"],
                    "both+vt" => &["spatial+vt", "both"],
                    "both+sm" => &["both"],
                    "both+vt+sm" => &["both+vt"],
                    _ => &["spatial+vt", "both+vt"],
                };
                let place = |name: &&str| STUDY.iter().position(|row| row.name == *name);
                below.iter().filter_map(place).collect()
            }
            _ => vec![0],
        };
        others.dedup();
        others
    }

    /// Refuse shared settings that are the own ones of `rows`, or would make them equal; `preset` is what they began with.
    pub(crate) fn check(self, rows: &[Row], shared: &TrainConfig, preset: &TrainConfig) -> Result<()> {
        let refuse =
            |key: &str, what: &str, remedy: &str| Err(Error::usage(format!("{key}: {what}"), remedy));
        if self != Self::Models && (shared.loss.alpha == 0.0 || shared.loss.beta == 0.0) {
            let what = "rows with and without this loss would be equal";
            return refuse(
                if shared.loss.alpha == 0.0 { "loss.alpha" } else { "loss.beta" },
                what,
                "leave it out",
            );
        }
        if shared.seed != preset.seed {
            return refuse("seed", "every row has the same seeds", "use --seeds");
        }
        let (shared, preset) = (json::value(shared)?, json::value(preset)?);
        let keys = rows.iter().flat_map(|row| &row.settings).filter_map(|s| s.split_once('='));
        // Other weights than 0 leave the rows what they are.
        for (key, _) in keys.filter(|(key, _)| !["loss.alpha", "loss.beta"].contains(key)) {
            let pointer = format!("/{}", key.replace('.', "/"));
            if shared.pointer(&pointer) != preset.pointer(&pointer) {
                return refuse(key, "the rows of the table differ in it", "leave it out");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const TABLES: [Table; 4] = [Table::Components, Table::Readings, Table::Control, Table::Study];

    /// No two rows of a table train the same, whichever preset they are laid over.
    #[test]
    fn rows_differ() -> Result<()> {
        for base in [TrainConfig::default(), TrainConfig::tiny()] {
            for table in TABLES {
                let mut configs = BTreeSet::new();
                for row in table.fixed() {
                    let config = base.clone().with(None, &row.settings)?;
                    assert!(configs.insert(serde_json::to_string(&config).expect("JSON")), "{}", row.name);
                }
            }
        }
        Ok(())
    }

    /// Runs are found again by the name of their row.
    #[test]
    fn a_name_stands_for_one_row() {
        let rows: Vec<Row> = TABLES.iter().flat_map(|table| table.fixed()).collect();
        for one in &rows {
            assert!(rows.iter().all(|other| (one.name == other.name) == (one == other)), "{}", one.name);
        }
    }

    /// The study's statements are about differences that its table has.
    #[test]
    fn the_study_has_what_is_judged() {
        for (row, below) in signclip_train::metrics::verdicts::judged_differences() {
            let found = STUDY.iter().position(|other| other.name == row).expect(row);
            let against = Table::Study.against(found);
            assert!(against.iter().any(|&other| STUDY[other].name == below), "{row} on {below}");
        }
    }

    #[test]
    fn shared_settings_are_checked() -> Result<()> {
        let check = |table: Table, setting: &str| -> Result<bool> {
            let preset = TrainConfig::tiny();
            let path = vec!["language_model.path=tiny".to_owned()];
            let model = Row { name: "tiny".to_owned(), settings: path, paper: None };
            let rows = if table == Table::Models { vec![model] } else { table.fixed() };
            Ok(table.check(&rows, &preset.clone().with(None, &[setting.to_owned()])?, &preset).is_ok())
        };
        assert!(
            check(Table::Components, "optimiser.epochs=3")? && check(Table::Components, "loss.beta=0.5")?
        );
        assert!(
            check(Table::Components, "head.fusion=addition")?
                && !check(Table::Readings, "head.fusion=addition")?
        );
        for setting in ["seed=3", "head.streams=spatial", "loss.beta=0", "loss.alpha=0.0"] {
            assert!(!check(Table::Components, setting)?, "{setting}");
        }
        assert!(check(Table::Models, "loss.beta=0")? && check(Table::Models, "head.streams=spatial")?);
        assert!(!check(Table::Models, "language_model.path=mt5-xl")? && !check(Table::Models, "seed=3")?);
        Ok(())
    }
}
