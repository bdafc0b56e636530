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
    /// The settings as they are, and the same on features of other clips: whether a recipe looks at the video
    Recipe,
    /// The study's: the components alone and together, the controls, and what is scored without looking
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
    /// Of the epochs of the others.
    times_epochs: usize,
    /// BLEU-4 in the paper's Table 5.
    paper: Option<f64>,
}

const fn row(name: &'static str, settings: &'static [&'static str]) -> Fixed {
    Fixed { name, settings, times_epochs: 1, paper: None }
}

/// A row of the paper's Table 5.
const fn component(name: &'static str, paper: f64, settings: &'static [&'static str]) -> Fixed {
    Fixed { name, settings, times_epochs: 1, paper: Some(paper) }
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
    // The authors' published code contrasts single frames, too.
    row("both+vt+sm-frames", &["head.streams=both", "loss.sm_frames=true"]),
    row("shuffled+vt", &["head.streams=both", "loss.beta=0", "shuffle_mouthing=true"]),
    // Whether hands without alignment need no more than time.
    Fixed {
        times_epochs: 3,
        ..row(
            "spatial-long",
            &["head.streams=spatial", "loss.alpha=0", "loss.beta=0", "optimiser.warmup_share=0.1"],
        )
    },
    // What is scored without looking: the language model alone, and the features of other clips.
    row("no-features", &["head.streams=spatial", "loss.alpha=0", "loss.beta=0", "no_features=true"]),
    row("shuffled-features", &["head.streams=both", "loss.beta=0", "shuffle_features=true"]),
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

const RECIPE: &[Fixed] = &[row("recipe", &[]), row("recipe-shuffled", &["shuffle_features=true"])];

impl Table {
    /// Its rows, where they are the same everywhere; none otherwise. `epochs`: those that the rows share.
    pub(crate) fn fixed(self, epochs: usize) -> Vec<Row> {
        let rows = match self {
            Self::Components => COMPONENTS,
            Self::Readings => READINGS,
            Self::Control => CONTROL,
            Self::Recipe => RECIPE,
            Self::Study => STUDY,
            Self::Models => &[],
        };
        let row = |row: &Fixed| {
            let own = row.settings.iter().map(|setting| (*setting).to_owned());
            let longer = format!("optimiser.epochs={}", row.times_epochs * epochs);
            let settings = own.chain((row.times_epochs > 1).then_some(longer)).collect();
            Row { name: row.name.to_owned(), settings, paper: row.paper }
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
            Self::Recipe => "recipe",
            Self::Study => "study",
        }
    }

    /// Of `rows`, those that one of them is tested against: the one above where each adds something, and the first.
    pub(crate) fn against(self, rows: &[Row], row: usize) -> Vec<usize> {
        let below: &[&str] = match (self, rows[row].name.as_str()) {
            (Self::Components | Self::Control, "spatial") => &[],
            (Self::Components, "mouthing") => &["spatial"],
            (Self::Components, "both") => &["mouthing", "spatial"],
            (Self::Components, "spatial+vt") => &["both", "spatial"],
            (Self::Components, "both+vt") => &["spatial+vt", "spatial"],
            (Self::Components, _) => &["both+vt", "spatial"],
            (Self::Recipe, "recipe") => &["recipe-shuffled"],
            (Self::Recipe, _) => &[],
            // Each with what it adds something to; the control with the hands alone and with its own mouthing.
            (Self::Study, "mouthing" | "spatial+vt" | "spatial-long") => &["spatial"],
            (Self::Study, "both") => &["spatial", "mouthing"],
            (Self::Study, "mouthing+vt") => &["mouthing"],
            (Self::Study, "both+vt") => &["spatial+vt", "both"],
            (Self::Study, "both+sm") => &["both"],
            (Self::Study, "both+vt+sm" | "both+vt+sm-frames") => &["both+vt"],
            (Self::Study, "shuffled+vt") => &["spatial+vt", "both+vt"],
            (Self::Study, _) => &[],
            _ => return if row == 0 { Vec::new() } else { vec![0] },
        };
        below.iter().filter_map(|name| rows.iter().position(|other| other.name == *name)).collect()
    }

    /// Those of `rows` with these names; all where none is given. Errors: a name that no row has.
    pub(crate) fn chosen(rows: Vec<Row>, names: &[String]) -> Result<Vec<Row>> {
        if let Some(name) = names.iter().find(|name| rows.iter().all(|row| row.name != **name)) {
            let all = rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(Error::usage(
                format!("--rows {name}: the table has no such row"),
                format!("name some of {all}"),
            ));
        }
        Ok(rows.into_iter().filter(|row| names.is_empty() || names.contains(&row.name)).collect())
    }

    /// Refuse shared settings that are the own ones of `rows`, or would make them equal; `preset` is what they began with.
    pub(crate) fn check(self, rows: &[Row], shared: &TrainConfig, preset: &TrainConfig) -> Result<()> {
        let refuse =
            |key: &str, what: &str, remedy: &str| Err(Error::usage(format!("{key}: {what}"), remedy));
        if !matches!(self, Self::Models | Self::Recipe)
            && (shared.loss.alpha == 0.0 || shared.loss.beta == 0.0)
        {
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
        // Other weights than 0 leave the rows what they are, and other epochs the one that has several times as many.
        let own = ["loss.alpha", "loss.beta", "optimiser.epochs"];
        for (key, _) in keys.filter(|(key, _)| !own.contains(key)) {
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

    const TABLES: [Table; 5] =
        [Table::Components, Table::Readings, Table::Control, Table::Recipe, Table::Study];

    /// No two rows of a table train the same, whichever preset they are laid over.
    #[test]
    fn rows_differ() -> Result<()> {
        for base in [TrainConfig::default(), TrainConfig::tiny()] {
            for table in TABLES {
                let mut configs = BTreeSet::new();
                for row in table.fixed(base.optimiser.epochs) {
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
        let rows: Vec<Row> = TABLES.iter().flat_map(|table| table.fixed(40)).collect();
        for one in &rows {
            assert!(rows.iter().all(|other| (one.name == other.name) == (one == other)), "{}", one.name);
        }
    }

    /// The study's statements are about differences that its table has.
    #[test]
    fn the_study_has_what_is_judged() {
        for (row, below) in signclip_train::metrics::verdicts::judged_differences() {
            let rows = Table::Study.fixed(40);
            let found = rows.iter().position(|other| other.name == row).expect(row);
            let against = Table::Study.against(&rows, found);
            assert!(against.iter().any(|&other| rows[other].name == below), "{row} on {below}");
        }
    }

    /// A row that is left out is not compared with, and the long one has three times the epochs that the others have.
    #[test]
    fn some_rows() -> Result<()> {
        let names = ["both+vt", "spatial", "spatial-long"].map(str::to_owned);
        let rows = Table::chosen(Table::Study.fixed(7), &names)?;
        let found: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(found, ["spatial", "both+vt", "spatial-long"]);
        assert_eq!([0, 1, 2].map(|row| Table::Study.against(&rows, row)), [vec![], vec![], vec![0]]);
        assert_eq!(rows[2].settings.last().map(String::as_str), Some("optimiser.epochs=21"));
        let error = Table::chosen(rows, &["both".to_owned()]).err().map(|e| e.to_string());
        assert!(error.is_some_and(|e| e.contains("--rows both: ") && e.contains("spatial, both+vt")));
        Ok(())
    }

    #[test]
    fn shared_settings_are_checked() -> Result<()> {
        let check = |table: Table, setting: &str| -> Result<bool> {
            let preset = TrainConfig::tiny();
            let path = vec!["language_model.path=tiny".to_owned()];
            let model = Row { name: "tiny".to_owned(), settings: path, paper: None };
            let rows = if table == Table::Models { vec![model] } else { table.fixed(40) };
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
        assert!(check(Table::Recipe, "loss.beta=0")? && !check(Table::Recipe, "shuffle_features=true")?);
        assert!(check(Table::Models, "loss.beta=0")? && check(Table::Models, "head.streams=spatial")?);
        assert!(!check(Table::Models, "language_model.path=mt5-xl")? && !check(Table::Models, "seed=3")?);
        Ok(())
    }
}
