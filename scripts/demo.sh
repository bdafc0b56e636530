#!/usr/bin/env bash
# The whole job on a rendered corpus: render, extract, train, evaluate, report.
#
#     demo.sh PREFIX FOLDER    PREFIX comes before a program's name: `target/release/` (just demo), `signclip ` (the wheel)
set -euo pipefail
prefix=$1 place=$2

step() { printf '\n== %s\n' "$*"; }
# Not quoted: with the wheel it is a command of its own.
run() { $prefix"$@"; }
extract() {
    run extract --dataset phoenix --root "$place/corpus" --landmarks "$place/corpus/landmarks" --preset tiny \
        --out "$place/cache" "$@"
}

step 'render: a small weather report in signs, laid out on disk as PHOENIX14T is'
run render-corpus --out "$place/corpus" --clips 640 --seed 1
step 'plan: what extract finds there; the same command with --root on the licensed data is the next step'
run extract --dataset phoenix --root "$place/corpus" --out "$place/cache" --preset tiny --dry-run
step 'extract: SMALL UNTRAINED networks with computed weights; the scores below say nothing about SignClip'
extract --split train,dev
# Contact sheets of the test split alone, which the report shows: drawing them takes a third of the time.
extract --split test --preview "$place/sheets"
run extract --verify --out "$place/cache"
step 'train: a small model from nothing, on the spatial and the mouthing stream'
run train --features "$place/cache" --run "$place/runs/demo" --preset tiny
step 'evaluate: the test split'
run evaluate --run "$place/runs/demo" --split test
step 'report: one page to look at'
run evaluate report "$place/runs/demo" --sheets "$place/sheets" --ambiguous "$place/corpus/ambiguous.json"

step 'where things are'
clips=$place/corpus/features/fullFrame-210x260px/test
cat <<END
clips        $clips/
features     $place/cache/test/ (numpy.load opens each .npy)
mouths       $place/sheets/test/ (a contact sheet for each clip: frames, landmarks, mouth crops)
run          $place/runs/demo/ (config.json, log.jsonl, best.safetensors)
translations $place/runs/demo/test/predictions.jsonl, scores metrics.json
report       $place/runs/demo/report.html (open it in a browser)

next, one clip of the test split from its pictures to text:
  ${prefix}translate $clips/$(ls "$clips" | head -n 1) --run $place/runs/demo --landmarks $place/corpus/landmarks/test

next, on the licensed data:
  ${prefix}extract --dataset phoenix --root /path/to/PHOENIX-2014-T --dry-run
  ${prefix}extract doctor          # which weight files are missing, and where they come from
END
