//! `evaluate --run`: translate a split and score it.

use signclip_common::collective::Collective;
use signclip_common::manifest::TextRules;
use signclip_common::progress::start_log;
use signclip_common::{Error, Result, atomic, checksum, devices, plural};
use signclip_train::data::corpus::Corpus;
use signclip_train::data::split::check_split;
use signclip_train::metrics::predictions::{METRICS, PREDICTIONS};
use signclip_train::metrics::published::{Beside, SCORES, SCORES_WITHOUT_DOT};
use signclip_train::metrics::summary::summary;
use signclip_train::metrics::units::Units;
use signclip_train::training::checkpoint::BEST;
use signclip_train::training::floor::floor;
use signclip_train::training::places::PlaceFlags;
use signclip_train::training::run::RunInfo;
use signclip_train::training::translation::{score_both_ways, translate};
use std::num::NonZero;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of a run that train wrote
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// Split to translate
    #[arg(long, value_name = "NAME", default_value = "test")]
    split: String,
    /// Where the features are now, if they were moved since the training; once for each folder of the training
    #[arg(long, value_name = "DIR")]
    features: Vec<PathBuf>,
    // Not `PlaceFlags` flattened: clap then takes the whole, which is optional, for absent.
    /// Where the run's language model is now, if it was moved
    #[arg(long, value_name = "DIR")]
    language_model: Option<PathBuf>,
    /// Weights folder, with the language model in DIR/NAME
    #[arg(long, value_name = "DIR")]
    weights: Option<PathBuf>,
    /// Device: a CUDA number or cpu [default: the first CUDA device, else cpu]
    #[arg(long, value_name = "DEVICE")]
    gpus: Option<String>,
    /// Clips searched at once
    #[arg(long, value_name = "N", default_value = "16")]
    batch: NonZero<usize>,
    /// Score a split of which clips are missing, failed or not yet extracted: refused without this
    #[arg(long)]
    allow_missing: bool,
    /// Print every score with its signature, and all published rows
    #[arg(long)]
    all: bool,
    /// Print the scores as JSON
    #[arg(long, conflicts_with = "all")]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let list = args.gpus.clone().unwrap_or_else(devices::default_device);
    let device = devices::open_one(&list)?;
    check_split("--split", &args.split)?;
    start_log(None)?;
    let mut info = RunInfo::read(&args.run)?;
    info.find_features(&args.run, &args.features)?;
    let places = PlaceFlags { language_model: args.language_model.clone(), weights: args.weights.clone() };
    info.find_language_model(&args.run, &places)?;
    let mut corpus = Corpus::open(&info.folders(), &args.split, &info.settings)?;
    let mut caveats = info.caveats(&args.split);
    let missing = corpus.missing(args.allow_missing)?;
    if missing > 0 {
        caveats.push(format!(
            "{} of {} missing; the scores are without them",
            plural(missing, "clip"),
            args.split
        ));
    }
    info.check_features(corpus.descriptions())?;
    info.check_clips(&corpus, &args.split, missing)?;
    let text = info.text(&args.run)?;
    corpus.tokenise(&text, usize::MAX)?;
    let (model, state) = info.trained(&args.run, &corpus, &text, device)?;
    // Not before everything that it takes is there.
    let folder = args.run.join(&args.split);
    std::fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
    caveats.iter().for_each(|caveat| tracing::warn!("{caveat}"));
    tracing::info!("{} clips of {}, weights of epoch {}", corpus.len(), args.split, state.choice.best_epoch);
    let rules = corpus.store.info.text;
    // A table that cannot be read is told before the translation, not after it.
    let beside = Beside::of(&corpus.store.info.dataset, &args.split, corpus.len(), rules)?;
    let predictions =
        translate(&model, &corpus, &text, &info.settings.decoding, args.batch.get(), &Collective::Solo)?;
    let lines = folder.join(PREDICTIONS);
    let mut content = String::new();
    for prediction in &predictions {
        let line = serde_json::to_string(prediction).map_err(|e| {
            Error::usage(format!("{}: {e}", prediction.id), "this is a bug; please report it")
        })?;
        content += &(line + "\n");
    }
    let units = Units::of(corpus.store.info.language.as_deref());
    let (scores, without_dot) = score_both_ways(&predictions, rules, units);
    let search = &info.settings.decoding;
    let floor = floor(&model, &text, search, info.settings.seed, &predictions, (rules, units))?;
    let mut metrics = serde_json::json!({
        "split": args.split,
        "clips": predictions.len(),
        "predictions_sha256": checksum::of(content.as_bytes()),
        "missing_clips": missing,
        "caveats": caveats,
        "weights": {
            "file": BEST,
            "epoch": state.choice.best_epoch,
            "validation_split": info.settings.validation_split,
            "validation_bleu4": state.choice.best_bleu4,
            "validation_chrf": state.choice.best_chrf,
        },
        "references": { "rules": rules, "units": units },
        "decoding": info.settings.decoding,
        SCORES: scores,
        "floor": floor,
    });
    if let Some(scores) = &without_dot {
        metrics[SCORES_WITHOUT_DOT] = serde_json::json!(scores);
    }
    if let Some(beside) = &beside {
        metrics["published"] = serde_json::json!(beside);
    }
    let metrics = format!("{metrics:#}\n");
    // Readers of the predictions look whether the scores beside them are of others: a kill in between is seen.
    atomic::write(&folder.join(METRICS), metrics.as_bytes())?;
    atomic::write(&lines, content.as_bytes())?;
    if args.json {
        print!("{metrics}");
        return Ok(());
    }
    println!(
        "{}: {}, weights of epoch {}",
        args.split,
        plural(predictions.len(), "clip"),
        state.choice.best_epoch
    );
    print!("{}", summary(&scores, &floor, beside.as_ref(), rules));
    if args.all {
        println!("\nReferences {}:\n{}", ending(rules), scores.table());
        if let Some(scores) = &without_dot {
            println!(
                "Without the final full stop on either side, as the annotations are:\n{}",
                scores.table()
            );
        }
        if let Some(beside) = &beside {
            println!("{}", beside.table(&scores, without_dot.as_ref(), rules));
        }
    } else {
        println!("every score with its signature, and the published rows: --all, or {METRICS}");
    }
    println!("predictions: {}\nmetrics:     {}", lines.display(), folder.join(METRICS).display());
    Ok(())
}

fn ending(rules: TextRules) -> &'static str {
    if rules.final_dot { "with a final full stop, as SpaMo and SignClip score" } else { "as they are" }
}
