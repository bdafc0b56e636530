#!/usr/bin/env bash
# Does each part of the method earn its place? The study of docs/results.md, from nothing: corpora, features, a language model
# that knows the language, all rows of the tables, verdicts. The same command resumes where it was interrupted.
#
#     study.sh PREFIX FOLDER [NAME=VALUE...]    PREFIX comes before a program's name: `target/release/`
#
# Sizes, which the tests make small: clips (of each level), sentences and passes (of the language model), epochs, seeds.
set -euo pipefail
prefix=$1 place=$2
clips=2400 sentences=100000 passes=2 epochs=8 seeds=5
for size in "${@:3}"; do
    [[ $size =~ ^(clips|sentences|passes|epochs|seeds)=[0-9]+$ ]] || { echo "study.sh: $size: no such size" >&2; exit 2; }
    declare "$size"
done

step() { printf '\n== %s\n' "$*"; }
run() { "$prefix$1" "${@:2}"; }
# Four validations, whose best is kept.
every=$(((epochs + 3) / 4))
table() {
    local name=$1 level=$2
    step "$name: $(date +%H:%M)"
    run ablate --table study --features "$place/$level/cache" --out "$place/tables/$name" --preset study --gpus cpu --jobs 2 \
        --seeds "$seeds" --ambiguous "$place/$level/corpus/ambiguous.json" --best "$place/$level/corpus/best.json" \
        --set optimiser.epochs="$epochs" --set validate_every="$every" "${@:3}"
}
pretrained=(--set language_model.path="$place/language" --set language_model.tuning=lora)

for level in clean noisy lagged; do
    step "corpus of level $level: $(date +%H:%M)"
    run render-corpus --out "$place/$level/corpus" --clips "$clips" --level "$level"
    run extract --dataset phoenix --root "$place/$level/corpus" --landmarks "$place/$level/corpus/landmarks" --preset tiny \
        --gpus cpu --out "$place/$level/cache"
done
step "language model: $(date +%H:%M)"
# The levels have the same sentences; that none of dev and test is among these is checked for each.
run render-corpus --out "$place/sentences.txt" --clips "$clips" --level noisy --sentences "$sentences"
run train-language --text "$place/sentences.txt" --features "$place/clean/cache" --features "$place/noisy/cache" \
    --features "$place/lagged/cache" --out "$place/language" --epochs "$passes" --gpus cpu

# What statements are about comes first, and on the other levels alone (train/src/metrics/verdicts.rs).
table random noisy --rows spatial,spatial+vt,spatial-long
table clean clean "${pretrained[@]}" --rows spatial,both+vt,both+vt+sm
table lagged lagged "${pretrained[@]}" --rows both+vt,both+vt+sm
table noisy noisy "${pretrained[@]}"

step "verdicts"
tables=()
for name in clean noisy lagged random; do
    tables+=("--$name" "$place/tables/$name/study.json")
done
run evaluate verdicts "${tables[@]}" | tee "$place/tables/verdicts.md"
