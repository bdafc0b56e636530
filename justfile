# The front door. `./justw RECIPE` installs what is missing first; `just RECIPE` is the same without that.

set shell := ["bash", "-euo", "pipefail", "-c"]

_list:
    @{{ just_executable() }} --list

# install what is missing, nothing else
setup:
    @test -f .libtorch/installed.json || { echo 'libtorch is missing: run ./justw setup' >&2; exit 2; }
    @echo ready

# the programs, optimised, into target/release
build:
    cargo build --release --workspace --bins

# formatting and lints
check:
    #!/usr/bin/env bash
    set -euo pipefail
    # A minimal Rust has neither; there the tests still run, but CI insists.
    if cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1; then
        cargo fmt --all --check
        # In the release profile, so that the C++ parts are built once for lints, programs and tests.
        cargo clippy --release --workspace --all-targets -- -D warnings
    elif [[ ${CI:-} == true ]]; then
        echo 'rustfmt or clippy is missing: rustup component add rustfmt clippy' >&2
        exit 2
    else
        echo 'not checked, for want of them: formatting and lints (rustup component add rustfmt clippy)' >&2
    fi

# everything CI runs: lints, programs, all tests
test:
    #!/usr/bin/env bash
    set -euo pipefail
    clock() { printf '== %d:%02d %s\n' $((SECONDS / 60)) $((SECONDS % 60)) "$1"; }
    clock 'formatting and lints'
    {{ just_executable() }} check
    clock 'programs'
    {{ just_executable() }} build
    clock 'tests, built'
    cargo test --release --workspace --no-run
    clock 'tests, run'
    # On a terminal the total comes last; a log ends with cargo's own summary.
    if [[ -t 1 ]]; then trap 'clock done' EXIT; fi
    cargo test --release --workspace

# the numbers of each network against its reference (cases in $SIGNCLIP_GOLDEN, else ../shared/golden)
golden:
    cargo test --release -p signclip-tests --test golden -- --nocapture

# the whole job on a rendered corpus: render, extract, train, evaluate
demo: build
    #!/usr/bin/env bash
    set -euo pipefail
    bin=target/release
    echo '== render: a small weather report in signs, laid out on disk as PHOENIX14T is'
    $bin/render-corpus --out demo/corpus --seed 1
    echo '== extract: small networks with seeded weights, not the pretrained ones'
    $bin/extract --dataset phoenix --root demo/corpus --preset tiny --landmarks demo/corpus/landmarks --out demo/cache
    echo '== train'
    $bin/train --features demo/cache --preset tiny --run demo/runs/demo
    echo '== evaluate'
    $bin/evaluate --run demo/runs/demo --split test
    echo '== the same commands on real data start with a plan'
    $bin/extract --dataset phoenix --root demo/corpus --dry-run
    echo
    echo 'predictions and scores: demo/runs/demo; features: demo/cache; clips: demo/corpus'
    echo 'with PHOENIX14T on disk: target/release/extract --dataset phoenix --root /path/to/PHOENIX-2014-T --dry-run'

# the demo's training again on features shuffled between clips: what is scored without looking
demo-control: build
    #!/usr/bin/env bash
    set -euo pipefail
    bin=target/release
    if [[ ! -f demo/cache/store.json ]]; then {{ just_executable() }} demo; fi
    $bin/train --features demo/cache --preset tiny --shuffle-features --run demo/runs/control
    echo '== features as they are'
    $bin/evaluate --run demo/runs/demo --split test
    echo '== features shuffled between clips'
    $bin/evaluate --run demo/runs/control --split test

# what this machine has: libtorch, CUDA, FFmpeg, OpenCV, processor features, weight files
doctor:
    @cargo build --release --quiet -p signclip-extract --bin extract
    @target/release/extract doctor

# format all code
fmt:
    cargo fmt --all

# for a machine with an NVIDIA GPU: the CUDA libraries that libtorch needs besides the driver (gigabytes)
cuda:
    @python3 scripts/wheels.py cuda
    @echo 'CUDA libraries are in .libtorch/cuda'
