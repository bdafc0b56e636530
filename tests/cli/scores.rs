//! `evaluate score` and `evaluate compare`: text files and predictions in, scores out.

use crate::corpus::{empty, features};
use crate::program::{Done, run, train, words};
use serde_json::{Value, json};
use std::path::Path;

const HYPOTHESES: [&str; 3] = [
    "am montag und dienstag wechselhaft hier und da zeigt sich auch mal die sonne .",
    "am nachmittag wird es dann freundlicher.",
    "heute nacht elf grad an der ostsee und vier grad im erzgebirge.",
];
const REFERENCES: [&str; 3] = [
    "montag und dienstag wechselhaft hier und da zeigt sich aber auch die sonne.",
    "am nachmittag wird es dann freundlicher.",
    "heute nacht zwölf grad an der nordsee vier grad in der eifel.",
];

fn write(place: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    std::fs::write(place.join(name), bytes).expect("written");
}

fn evaluate(place: &Path, line: &str) -> Done {
    run(place, "evaluate", words(line))
}

fn close(got: &Value, want: f64) {
    let got = got.as_f64().unwrap_or_else(|| panic!("{got} is no number"));
    assert!((got - want).abs() < 1e-9, "{got} where {want} is wanted");
}

/// Values printed by sacrebleu 2.6.0 (BLEU, chrF) and rouge-score 0.1.2.
#[test]
fn files_are_scored() {
    let place = empty();
    write(place.path(), "hyp", HYPOTHESES.join("\n") + "\n");
    write(place.path(), "ref", REFERENCES.join("\n") + "\n");
    let done = evaluate(place.path(), "score hyp ref");
    done.exits(0).says(&[
        "3 sentences",
        "BLEU-4    55.20",
        "chrF",
        "ROUGE-L",
        "tok:13a|smooth:exp|",
        "|dot:as-given",
    ]);

    let json = evaluate(place.path(), "score hyp ref --json").exits(0).json();
    assert_eq!(json["scores"]["sentences"], 3);
    close(&json["scores"]["bleu"]["bleu"][3], 55.199058915111856);
    close(&json["scores"]["chrf"]["score"], 78.36362227995554);
    close(&json["scores"]["rouge_l"]["f1"], (0.888888888888889 + 1.0 + 0.56) / 3.0);
    close(&json["sentences"][2]["rouge_l"], 56.0);
    close(&json["sentences"][2]["bleu4"], 17.474335703431752);
    assert_eq!(json["sentences"].as_array().map(Vec::len), Some(3));

    // Line ends of Windows, a byte order mark and a missing last line end change nothing.
    write(place.path(), "windows", format!("\u{feff}{}", HYPOTHESES.join("\r\n")));
    let windows = evaluate(place.path(), "score windows ref --json").exits(0).json();
    assert_eq!((&windows["scores"], &windows["sentences"]), (&json["scores"], &json["sentences"]));

    // Several pairs: one object a line, each as alone.
    let both = evaluate(place.path(), "score hyp ref ref ref --json");
    let lines: Vec<Value> =
        both.exits(0).stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 2, "{both}");
    assert_eq!(lines[0]["scores"], json["scores"]);
    close(&lines[1]["scores"]["bleu"]["bleu"][3], 100.0);
}

#[test]
fn files_with_nothing_in_a_line() {
    let place = empty();
    write(place.path(), "empty", "\n\n");
    write(place.path(), "full", "ein satz\nnoch einer\n");
    for (line, bleu) in [("score empty full", 0.0), ("score full empty", 0.0), ("score full full", 100.0)] {
        let done = evaluate(place.path(), &format!("{line} --json"));
        let json = done.exits(0).json();
        close(&json["scores"]["bleu"]["bleu"][1], bleu);
        assert!(!done.stdout.contains("null"), "no number is missing or infinite\n{done}");
    }
    write(place.path(), "one", "x");
    evaluate(place.path(), "score one one").exits(0).says(&["1 sentence;", "chrF     100.00  100.00 ± 0.00"]);
}

#[test]
fn files_that_cannot_be_scored() {
    let place = empty();
    write(place.path(), "two", "a\nb\n");
    write(place.path(), "three", "a\nb\nc\n");
    write(place.path(), "empty", "");
    write(place.path(), "latin1", b"a\nf\xfcr\n");
    std::fs::create_dir(place.path().join("folder")).expect("a folder");
    for (line, parts) in [
        ("score two three", ["two: 2 lines where three has 3", "empty line"]),
        ("score three two", ["three: 3 lines where two has 2", "empty line"]),
        ("score empty two", ["empty: the file is empty", "one sentence a line"]),
        ("score two empty", ["empty: the file is empty", "one sentence a line"]),
        ("score latin1 two", ["latin1, line 2: not UTF-8", "save the file"]),
        ("score two nosuch", ["nosuch", "check the path"]),
        ("score folder two", ["folder", "a folder is where a file should be"]),
        ("score two", ["two has no file of references", "evaluate score HYP REF"]),
        ("score two two two", ["two has no file of references", "evaluate score HYP REF"]),
    ] {
        let done = evaluate(place.path(), line);
        done.refuses(&[&parts]);
        assert_eq!(done.stdout, "", "nothing is printed before an error");
    }
    evaluate(place.path(), "score").exits(2).says(&["HYP REF"]);
    evaluate(place.path(), "").exits(2).says(&["--run"]);
    evaluate(place.path(), "score two two --run run").exits(2).says(&["--run"]);
}

/// A line of predictions for each hypothesis.
fn predictions(hypotheses: &[&str]) -> Vec<String> {
    let lines = hypotheses.iter().zip(REFERENCES).enumerate();
    lines
        .map(|(i, (h, r))| {
            json!({ "id": format!("clip{i}"), "hypothesis": h, "reference": r }).to_string() + "\n"
        })
        .collect()
}

#[test]
fn runs_are_compared() {
    let place = empty();
    let (a, b) = (predictions(&HYPOTHESES), predictions(&["", REFERENCES[1], REFERENCES[2]]));
    // A run's folder on one side, a file in another order on the other.
    std::fs::create_dir_all(place.path().join("run/dev")).expect("a folder");
    write(place.path(), "run/dev/predictions.jsonl", a.concat());
    write(place.path(), "b.jsonl", b.iter().rev().map(String::as_str).collect::<String>());

    let done = evaluate(place.path(), "compare run b.jsonl --split dev");
    done.exits(0).says(&[
        "A: run/dev/predictions.jsonl",
        "B: b.jsonl",
        "3 sentences",
        "BLEU-4",
        "ROUGE-L",
        "|tok:13a|",
    ]);
    let json = evaluate(place.path(), "compare run b.jsonl --split dev --json").exits(0).json();
    assert_eq!((&json["a_files"], &json["sentences"]), (&json!(["run/dev/predictions.jsonl"]), &json!(3)));
    for measure in ["bleu4", "chrf", "rouge_l", "rouge_l_slt"] {
        let d = &json["differences"][measure];
        assert_eq!((&d["better"], &d["worse"], &d["equal"]), (&json!(1), &json!(1), &json!(1)), "{measure}");
        // One run a side: an interval of the sentences, and no claim.
        let [low, difference, high] =
            ["low", "difference", "high"].map(|key| d[key].as_f64().expect("a number"));
        assert!(low < difference && difference < high, "{d}");
        assert_eq!((&d["seeds_known"], &d["holds"]), (&json!(false), &json!(false)), "{d}");
    }
    close(&json["differences"]["bleu4"]["a"], 55.199058915111856);
    close(&json["a"][0]["bleu"]["bleu"][3], 55.199058915111856);

    let same = evaluate(place.path(), "compare run run --split dev --json").exits(0).json();
    let chrf = &same["differences"]["chrf"];
    assert_eq!((&chrf["low"], &chrf["high"], &chrf["equal"]), (&json!(0.0), &json!(0.0), &json!(3)));

    // Several runs a side, of which each has every sentence.
    write(place.path(), "c.jsonl", predictions(&[HYPOTHESES[0], "", HYPOTHESES[2]]).concat());
    write(place.path(), "d.jsonl", predictions(&["", "", REFERENCES[2]]).concat());
    let alone = evaluate(place.path(), "compare run c.jsonl --split dev --json").exits(0).json();
    let line = "compare run c.jsonl --with b.jsonl d.jsonl --split dev --json";
    let several = evaluate(place.path(), line).exits(0).json();
    let bleu4 = &several["differences"]["bleu4"];
    let of_c = alone["differences"]["bleu4"]["b"].as_f64().expect("a number");
    close(&bleu4["a"], (55.199058915111856 + of_c) / 2.0);
    assert_eq!((&bleu4["seeds_known"], several["a"].as_array().map(Vec::len)), (&json!(true), Some(2)));
    // A copy is no other seed.
    write(place.path(), "copy.jsonl", a.concat());
    for (line, file) in
        [("run copy.jsonl --with b.jsonl d.jsonl", "copy.jsonl"), ("run b.jsonl --with b.jsonl", "b.jsonl")]
    {
        let refused = format!("{file}: the same translations as");
        evaluate(place.path(), &format!("compare {line} --split dev")).refuses(&[&[&refused, "once"]]);
    }
}

/// Translations for other scorers, for a reader, and the study's statements without a study.
#[test]
fn translations_go_elsewhere() {
    let place = empty();
    write(place.path(), "a.jsonl", predictions(&HYPOTHESES).concat());
    write(place.path(), "b.jsonl", predictions(&["zwei\nzeilen", REFERENCES[1], ""]).concat());
    evaluate(place.path(), "export-scores b.jsonl --out scores")
        .exits(0)
        .says(&["3 sentences", "comet-score"]);
    let read = |name: &str| std::fs::read_to_string(place.path().join("scores").join(name)).expect(name);
    assert_eq!(read("src.txt"), "clip0\nclip1\nclip2\n");
    assert_eq!(read("hyp.txt"), format!("zwei zeilen\n{}\n\n", REFERENCES[1]));
    assert_eq!(read("ref.txt"), REFERENCES.join("\n") + "\n");

    evaluate(place.path(), "beside hands=a.jsonl both=b.jsonl --clips clip2,clip1").exits(0).says(&[
        "| clip2 | reference | heute nacht zwölf grad an der nordsee vier grad in der eifel. |",
        "| | hands | heute nacht <b>elf</b> grad an der <b>ostsee und</b> vier grad <b>im erzgebirge</b>. |",
        "| | both | <i>(empty)</i> |",
        "| | both | am nachmittag wird es dann freundlicher. |",
    ]);
    evaluate(place.path(), "beside a=a.jsonl --clips nosuch").refuses(&[&["--clips nosuch", "no such clip"]]);
    evaluate(place.path(), "beside a=a.jsonl a=b.jsonl --clips clip1").refuses(&[&["a: two runs", "own"]]);
    evaluate(place.path(), "beside a=a.jsonl --clips clip1,clip1").refuses(&[&["--clips clip1", "twice"]]);
    evaluate(place.path(), "beside a.jsonl --clips clip1").exits(2).says(&["NAME=RUN"]);

    evaluate(place.path(), "verdicts").refuses(&[&["no table", "--noisy"]]);
    evaluate(place.path(), "verdicts --noisy nosuch.json").refuses(&[&["nosuch.json"]]);
}

#[test]
fn predictions_that_cannot_be_compared() {
    let place = empty();
    let a = predictions(&HYPOTHESES);
    write(place.path(), "a.jsonl", a.concat());
    write(place.path(), "fewer.jsonl", a[..2].concat());
    write(place.path(), "other.jsonl", a.concat().replace("clip1", "clip9"));
    write(place.path(), "text.jsonl", a.concat().replace("in der eifel", "im harz"));
    write(place.path(), "twice.jsonl", a.concat() + &a[1]);
    write(place.path(), "half.jsonl", &a.concat()[..a.concat().len() - 5]);
    write(place.path(), "field.jsonl", "{\"id\": \"clip0\", \"hypothesis\": \"x\"}\n");
    write(place.path(), "empty.jsonl", "");
    write(place.path(), "latin1.jsonl", b"\xff\n");
    std::fs::create_dir(place.path().join("run")).expect("a folder");
    for (line, parts) in [
        ("a.jsonl fewer.jsonl", ["fewer.jsonl: no clip \"clip2\"", "a.jsonl has", "same split"]),
        ("fewer.jsonl a.jsonl", ["fewer.jsonl: no clip \"clip2\"", "a.jsonl has", "same split"]),
        ("a.jsonl other.jsonl", ["other.jsonl: no clip \"clip1\"", "a.jsonl has", "same split"]),
        ("a.jsonl text.jsonl", ["text.jsonl, clip \"clip2\"", "reference", "a.jsonl"]),
        ("a.jsonl twice.jsonl", ["twice.jsonl, line 4", "\"clip1\" a second time", "predictions.jsonl"]),
        ("half.jsonl a.jsonl", ["half.jsonl, line 3", "EOF", "predictions.jsonl"]),
        ("a.jsonl field.jsonl", ["field.jsonl, line 1", "missing field `reference`", "predictions.jsonl"]),
        ("empty.jsonl a.jsonl", ["empty.jsonl", "no predictions in the file", "again"]),
        ("a.jsonl latin1.jsonl", ["latin1.jsonl", "UTF-8", "text"]),
        ("a.jsonl nosuch.jsonl", ["nosuch.jsonl", "No such file", "check the path"]),
        (
            "a.jsonl run",
            ["run/test/predictions.jsonl", "no predictions here", "evaluate --run run --split test"],
        ),
        ("a.jsonl a.jsonl --split ../x", ["../x", "not a split", "train, dev or test"]),
    ] {
        evaluate(place.path(), &format!("compare {line}")).refuses(&[&parts]);
    }
    evaluate(place.path(), "compare a.jsonl").exits(2).says(&["<B>"]);
}

/// What `evaluate --run` says of PHOENIX14T, whose references get a full stop.
#[test]
fn a_run_is_scored_both_ways_and_beside_others() {
    let place = empty();
    train(place.path(), &format!("--features {} --run run", features().display())).exits(0);
    let screen = evaluate(place.path(), "--run run --gpus cpu");
    screen.exits(0).says(&["BLEU-1", "BLEU-4", "chrF", "ROUGE-L", "24.71", "642 clips, this is 2", "--all"]);
    assert!(screen.stdout.lines().count() <= 16 && !screen.stdout.contains("nrefs:1"), "{screen}");
    evaluate(place.path(), "--run run --gpus cpu --all").exits(0).says(&[
        "|dot:added",
        "|dot:removed",
        "Table 2",
        "Sign2GPT",
        "642 clips, this is 2",
    ]);
    let read = |name: &str| std::fs::read_to_string(place.path().join("run/test").join(name)).expect(name);
    let metrics: Value = serde_json::from_str(&read("metrics.json")).expect("JSON");
    for (scores, dot) in [("scores", "|dot:added"), ("scores_without_final_dot", "|dot:removed")] {
        let bleu = &metrics[scores]["bleu_slt"];
        assert!(
            bleu["signature"].as_str().is_some_and(|s| s.contains("tok:none") && s.ends_with(dot)),
            "{bleu}"
        );
        assert!(metrics[scores]["bootstrap"]["bleu4"]["half_width"].is_number());
    }
    let rows = metrics["published"]["rows"].as_array().expect("rows");
    let spamo = rows.iter().find(|row| row["method"] == "SpaMo").expect("SpaMo");
    assert_eq!((&spamo["bleu"][3], &spamo["bleu_beside"]), (&json!(24.32), &json!("scores.bleu")));
    assert!(metrics["published"]["differs"].as_array().is_some_and(|d| d.len() == 1), "{metrics}");
    // The scores of sentences are those that `score` gives.
    let lines: Vec<Value> =
        read("predictions.jsonl").lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for (name, key) in [("hyp", "hypothesis"), ("ref", "reference")] {
        let texts: Vec<&str> = lines.iter().filter_map(|line| line[key].as_str()).collect();
        write(place.path(), name, texts.join("\n") + "\n");
    }
    let scored = evaluate(place.path(), "score hyp ref --json").exits(0).json();
    for (line, want) in lines.iter().zip(scored["sentences"].as_array().expect("sentences")) {
        for measure in ["bleu4", "chrf", "rouge_l", "rouge_l_slt"] {
            assert_eq!(line[measure], want[measure], "{measure}");
        }
    }
    assert_eq!(scored["scores"]["bleu"]["bleu"], metrics["scores"]["bleu"]["bleu"]);
}
