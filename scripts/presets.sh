#!/usr/bin/env bash
# Each recipe of docs/recipes.md on a rendered corpus, beside the same on the features of other clips. The same command resumes
# where it was interrupted.
#
#     presets.sh PREFIX FOLDER [NAME=VALUE...]    PREFIX comes before a program's name: `target/release/`
#
# Sizes, to be made small for a look: clips, sentences (of the language model), epochs, seeds.
set -euo pipefail
prefix=$1 place=$2
clips=800 sentences=30000 epochs=20 seeds=3
for size in "${@:3}"; do
    [[ $size =~ ^(clips|sentences|epochs|seeds)=[0-9]+$ ]] || { echo "presets.sh: $size: no such size" >&2; exit 2; }
    declare "$size"
done

run() { "$prefix$1" "${@:2}"; }

run render-corpus --out "$place/corpus" --clips "$clips" --level clean
run extract --dataset phoenix --root "$place/corpus" --landmarks "$place/corpus/landmarks" --preset tiny --gpus cpu \
    --streams spatial,mouthing,motion --out "$place/cache"
run render-corpus --out "$place/sentences.txt" --clips "$clips" --level clean --sentences "$sentences"
run train-language --text "$place/sentences.txt" --features "$place/cache" --out "$place/language" --epochs 1 --gpus cpu
# Not of the recipes: the small language model, whitened features (untrained encoders need it), and fewer steps.
for preset in paper authors spamo; do
    own=()
    [[ $preset == spamo ]] && own=(--set loss.vt_alone_steps=100)
    run ablate --table recipe --preset "$preset" --features "$place/cache" --out "$place/$preset" --split dev --seeds "$seeds" \
        --jobs 2 --gpus cpu --set language_model.path="$place/language" --set optimiser.epochs="$epochs" \
        --set validate_every="$(((epochs + 3) / 4))" --set head.standardise=true --set head.standardise_by=whitening "${own[@]}"
done
