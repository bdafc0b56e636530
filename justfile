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

# no circles between the modules of a crate; formatting and lints
check:
    #!/usr/bin/env bash
    set -euo pipefail
    # One source without dependencies, so that it takes a second; `just test` runs it too.
    mkdir -p target
    CARGO_MANIFEST_DIR=$PWD/tests rustc --edition 2024 --test tests/imports/main.rs -o target/imports
    target/imports --quiet
    # A minimal Rust has neither; there the tests still run, but CI insists.
    if cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1; then
        cargo fmt --all --check
        # In the release profile, so that the C++ parts are built once for lints, programs and tests.
        cargo clippy --release --workspace --all-targets -- -D warnings
    elif [[ ${CI:-} == true ]]; then
        echo 'rustfmt or clippy is missing: rustup component add rustfmt clippy' >&2
        exit 2
    else
        echo 'skipped: rustfmt and clippy are not installed (rustup component add rustfmt clippy)' >&2
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
    # --tests leaves the examples out, which the lints above have compiled: each links all of libtorch's wrappers.
    clock 'tests, built'
    cargo test --release --workspace --tests --no-run
    clock 'tests, run'
    # On a terminal the total comes last; a log ends with cargo's own summary.
    if [[ -t 1 ]]; then trap 'clock done' EXIT; fi
    cargo test --release --workspace --tests

# the same as on a CPU with AVX2 alone, where libtorch multiplies bf16 in a scalar loop
test-avx2:
    ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 ATEN_CPU_CAPABILITY=avx2 {{ just_executable() }} test

# the numbers of each network against its reference (cases in $SIGNCLIP_GOLDEN, else ../shared/golden); `just golden 0`: on a GPU
golden device="cpu":
    SIGNCLIP_DEVICE={{ device }} NVIDIA_TF32_OVERRIDE=0 TORCH_CUDNN_SDPA_DEPRIORITIZED=1 \
        cargo test --release --workspace --test golden -- --nocapture

# faces and mouths on real clips, with numbers (clips and weights in $SIGNCLIP_TEST_DATA, else ../shared/data)
faces:
    SIGNCLIP_FACES=all cargo test --release --workspace --test faces -- --nocapture

# contact sheets of real clips: `just sheets FOLDER VIDEO...` with a weights folder that has a face detector
sheets out +videos: build
    target/release/extract --videos {{ videos }} --preset tiny --streams mouthing --out {{ out }}/features \
        --preview {{ out }}

# every sample checkpoint, mutated 10,000 times: no crash, no hang, memory bounded
fuzz-checkpoints:
    SIGNCLIP_MUTATIONS=10000 cargo test --release --workspace --test torch_file -- --nocapture

# damaged copies of a clip in sixteen containers: how many are stored with another number of frames (ffmpeg; a minute)
check-damage mutants="200" seed="1":
    cargo build --release --workspace --example check_damage
    target/release/examples/check_damage {{ mutants }} {{ seed }} target/damage

# every reader of foreign files against random changes, for so many seconds each (cargo-fuzz, into .tools/ once; minutes to build)
fuzz seconds="60" *targets:
    #!/usr/bin/env bash
    set -euo pipefail
    # The sanitizer needs a flag that only unstable Rust has; the stable one takes it with this.
    export PATH=$PWD/.tools/bin:$PATH RUSTC_BOOTSTRAP=1
    command -v cargo-fuzz >/dev/null || cargo install --quiet --locked --root .tools cargo-fuzz
    cargo fuzz build
    python3 scripts/fuzz.py {{ seconds }} {{ targets }}

# kill -9 at random moments, the same command until it is done, bit for bit equal to an uninterrupted run
crash-loop kills="50": build
    SIGNCLIP_KILLS={{ kills }} cargo test --release --workspace --test cli -- kill:: --nocapture

# the job script of docs/cluster.md on a real Slurm of two nodes on this machine (Debian: slurm-wlm, munge; as root)
check-slurm: build
    python3 scripts/check_slurm.py target/release

# every score against sacrebleu and rouge-score on random corpora (Python, in .tools/metrics)
check-metrics corpora="1000" seed="1": build
    #!/usr/bin/env bash
    set -euo pipefail
    if ! .tools/metrics/bin/python -c 'import sacrebleu, rouge_score' 2>/dev/null; then
        rm -rf .tools/metrics
        python3 -m venv .tools/metrics
        .tools/metrics/bin/pip install --quiet --disable-pip-version-check sacrebleu==2.6.0 rouge-score==0.1.2
    fi
    .tools/metrics/bin/python scripts/check_metrics.py target/release/evaluate {{ corpora }} {{ seed }}

# the whole job on a rendered corpus: render, extract, train, evaluate
demo: build
    @scripts/demo.sh target/release/ demo

# a wheel with all programs into dist/, for pip (`just wheel torch=2.11`: beside that torch; docs/packaging.md)
wheel *options: setup
    @python3 scripts/wheel.py {{ options }}

# all tests beside another torch, in a copy of the sources (`just test-beside torch=2.11`: half an hour, gigabytes)
test-beside *options: setup
    @python3 scripts/test_beside.py {{ options }}

# what checks and measures a GPU, for a machine with nothing but a driver and torch, into dist/ (docs/gpu.md)
gpu-bundle *options: setup
    @python3 scripts/gpu_bundle.py {{ options }}

# the newest bundle on the CPU, in a root without compiler, FFmpeg or OpenCV (debootstrap, as root; gigabytes)
check-gpu-bundle *options:
    python3 scripts/check_gpu_bundle.py {{ options }}

# is everything right on this GPU? The newest bundle of dist/ with a Python that has torch: `just gpu-check python3 --device 0`
gpu-check python="python3" *options:
    @{{ just_executable() }} _bundled {{ python }} gpu_check.py {{ options }}

# how fast on this GPU, beside the peers: `just bench-gpu python3 --device 0`
bench-gpu python="python3" *options:
    @{{ just_executable() }} _bundled {{ python }} bench_gpu.py {{ options }}

_bundled python script *options:
    #!/usr/bin/env bash
    set -euo pipefail
    bundle=$(ls -t dist/signclip-gpu-*.tar.xz 2>/dev/null | head -n 1)
    [[ $bundle ]] || { echo 'there is no bundle in dist/: just gpu-bundle' >&2; exit 2; }
    folder=target/gpu
    rm -rf $folder && mkdir -p $folder && tar -xf "$bundle" -C $folder --strip-components=1
    {{ python }} $folder/{{ script }} {{ options }}

# the wheel in a root without compiler, FFmpeg or OpenCV, as a user without root (debootstrap, as root; gigabytes)
check-wheel *options: build
    python3 scripts/check_wheel.py {{ options }}

# the book of docs/ into target/book, every link followed (mdbook and LinkChecker, into .tools/ once; minutes to build)
docs:
    #!/usr/bin/env bash
    set -euo pipefail
    export PATH=$PWD/.tools/bin:$PATH
    command -v mdbook >/dev/null || cargo install --quiet --locked --root .tools mdbook
    if [[ ! -x .tools/links/bin/linkchecker ]]; then
        python3 -m venv .tools/links
        .tools/links/bin/pip install --quiet --disable-pip-version-check LinkChecker
    fi
    mdbook build docs
    .tools/links/bin/linkchecker --no-status --config scripts/linkchecker.ini target/book/index.html
    echo 'the book is target/book/index.html'

# every command of README and docs: run on the demo's corpus, or its flags checked where it needs data
check-docs: demo
    python3 scripts/check_docs.py "$(command -v {{ just_executable() }})" target/release demo

# checksums of the features and losses that these programs make, into a file: the same at two commits, or something changed
feature-sums file clips="": build
    python3 scripts/feature_sums.py target/release {{ file }} {{ clips }}

# a video to text: `just translate clip.mp4 --run runs/x` (translate --help)
translate +args: build
    @target/release/translate {{ args }}

# the report opened in Chromium (Debian: chromium): no script error, no request, every picture there
check-report: build
    SIGNCLIP_BROWSER=required cargo test --release --workspace --test cli -- --nocapture report::

# the demo's training again on features shuffled between clips: what is scored without looking
demo-control: demo
    #!/usr/bin/env bash
    set -euo pipefail
    bin=target/release
    printf '\n== control: the same training, every clip with the features of another\n'
    $bin/train --features demo/cache --run demo/runs/control --preset tiny --set shuffle_features=true
    $bin/evaluate --run demo/runs/control --split test
    python3 - demo/runs/demo demo/runs/control <<'END'
    import json, sys
    own, other = (json.load(open(f"{run}/test/metrics.json"))["scores"]["bleu"]["bleu"][3] for run in sys.argv[1:])
    print(f"\ntest BLEU-4: {own:.2f} on the clips' own features, {other:.2f} on shuffled ones")
    if own < 3 * other:
        sys.exit("the demo's score is not 3 times that of the control: what it learned is not from the features")
    END

# the paper's ablation on features: `just ablate CACHE`; more options of `ablate` may follow
ablate cache *options: build
    target/release/ablate --features {{ cache }} {{ options }}

# does each part earn its place? Rendered corpora, a language model, all rows, verdicts (hours, resumable; `just study epochs=2`)
study *sizes: build
    @scripts/study.sh target/release/ study {{ sizes }}

# each recipe (paper, authors, spamo) on a rendered corpus, beside the same on the features of other clips (an hour, resumable)
presets *sizes: build
    @scripts/presets.sh target/release/ study/presets {{ sizes }}

# the study as pages to look at: the full model's translations with frames, mouths and gate; a sheet for people who rate them
study-report *sizes: (study sizes)
    target/release/extract --dataset phoenix --root study/noisy/corpus --preset tiny --gpus cpu --split test \
        --landmarks study/noisy/corpus/landmarks --out study/pictures --preview study/sheets
    target/release/evaluate report study/tables/noisy/both+vt+sm/seed-0 --sheets study/sheets \
        --ambiguous study/noisy/corpus/ambiguous.json --ablation study/tables/noisy/study.json
    target/release/evaluate rating-sheet spatial+vt=study/tables/noisy/spatial+vt/seed-0 \
        both+vt=study/tables/noisy/both+vt/seed-0 both+vt+sm=study/tables/noisy/both+vt+sm/seed-0 \
        --sheets study/sheets --out study/rating.html

# Table 5 on the demo's kind of corpus, from random numbers (`just components how2sign`: mp4; more options of `ablate` may follow)
components layout="phoenix" *options: build
    target/release/render-corpus --out study/{{ layout }}/corpus --layout {{ layout }} --clips 2400
    target/release/extract --dataset {{ layout }} --root study/{{ layout }}/corpus --preset tiny --gpus cpu \
        --landmarks study/{{ layout }}/corpus/landmarks --out study/{{ layout }}/cache
    target/release/ablate --features study/{{ layout }}/cache --out study/{{ layout }}/runs --preset tiny --gpus cpu \
        --jobs 2 --set optimiser.epochs=40 --set validate_every=8 --ambiguous study/{{ layout }}/corpus/ambiguous.json {{ options }}

# training killed twenty times at random moments against an uninterrupted run, bit for bit (minutes)
check-kills: build
    cargo test --release --workspace --test cli -- --ignored --nocapture twenty_kills

# the recipes of the study and of the presets as small as they can be, the study from nothing twice (minutes)
check-study: build
    cargo test --release --workspace --test cli -- --ignored --nocapture from_nothing_to_verdicts recipes_beside_their_controls

# training under mpirun on two processes, with Open MPI from Debian's packages; afterwards train is built as before
check-mpi:
    #!/usr/bin/env bash
    set -euo pipefail
    if ! command -v mpicc >/dev/null || ! command -v mpirun >/dev/null; then
        echo 'Open MPI is missing: apt-get install --no-install-recommends libopenmpi-dev openmpi-bin' >&2
        exit 2
    fi
    trap '{{ just_executable() }} build' EXIT
    cargo build --release --workspace --bins --features signclip-train/mpi
    # --features for the tests as well: they are built into the same folder, and the programs must not be replaced.
    cargo test --release --workspace --features signclip-train/mpi --test cli -- --nocapture mpi::

# what this machine has: libtorch, CUDA, FFmpeg, OpenCV, CPU features, weight files
doctor:
    @cargo build --release --quiet -p signclip-extract --bin extract
    @target/release/extract doctor

# adapters between this program and Hugging Face PEFT, both ways (makes a Python environment of 5 GB in .tools/ once)
check-peft: _python
    cargo build --release --workspace --example adapter
    .tools/python/bin/python scripts/check_peft.py target/release/examples/adapter

# ids of spiece.model against the library sentencepiece, mT5's size and T5's own among them (Python, in .tools/sentencepiece)
check-sentencepiece: _sentencepiece
    cargo build --release --workspace --example tokens
    .tools/sentencepiece/bin/python scripts/check_sentencepiece.py target/release/examples/tokens \
        ${SIGNCLIP_TEST_DATA:-../shared/data}

# the small model of the tests, and what the library makes of texts with it
write-sentencepiece: _sentencepiece
    .tools/sentencepiece/bin/python scripts/check_sentencepiece.py --write

_sentencepiece:
    #!/usr/bin/env bash
    set -euo pipefail
    if ! .tools/sentencepiece/bin/python -c 'import sentencepiece, google.protobuf' 2>/dev/null; then
        rm -rf .tools/sentencepiece
        python3 -m venv .tools/sentencepiece
        .tools/sentencepiece/bin/pip install --quiet --disable-pip-version-check sentencepiece==0.2.3 protobuf==7.36.2
    fi

# training steps beside PEFT in one run, bf16 and fp32 (peers in $SIGNCLIP_PEERS, else ../shared/peers)
bench-train: (_bench "train")

# beam search beside transformers in one run, small and base
bench-generate: (_bench "generate")

# a large model on random bf16 weights: load, three steps, peak memory, plain and recomputing; one clip translated (xl,
# mt5-xl, llama-3.2-3b or llama-3.1-8b, which takes steps only recomputing; writes 5.7 to 16 GB, removed)
bench-xl model="xl":
    cargo build --release --workspace --example bench
    python3 scripts/bench_xl.py {{ model }} target/release/examples/bench

_bench what:
    #!/usr/bin/env bash
    set -euo pipefail
    peers=${SIGNCLIP_PEERS:-../shared/peers}
    if [[ ! -f $peers/peer_{{ what }}.py ]]; then
        echo "skipped: no peer_{{ what }}.py in $peers (set SIGNCLIP_PEERS)"
        exit 0
    fi
    {{ just_executable() }} _python
    cargo build --release --workspace --example bench
    .tools/python/bin/python scripts/bench.py {{ what }} target/release/examples/bench "$peers"

# extraction beside a Python peer in one run, and the encoder against this machine's matrix products (an hour)
bench-extract:
    #!/usr/bin/env bash
    set -euo pipefail
    peers=${SIGNCLIP_PEERS:-../shared/peers} data=${SIGNCLIP_TEST_DATA:-../shared/data}
    if [[ ! -f $peers/peer_extract.py || ! -d $data/sign ]]; then
        echo "skipped: no peer_extract.py in $peers or no clips in $data (set SIGNCLIP_PEERS, SIGNCLIP_TEST_DATA)"
        exit 0
    fi
    {{ just_executable() }} _python
    cargo build --release --workspace --bins --example bench_extract
    .tools/python/bin/python scripts/bench_extract.py target/release/extract target/release/examples/bench_extract \
        "$peers" "$data"

# one core and one device against two of each: frames per second by turns, and the same bytes
bench-scaling:
    #!/usr/bin/env bash
    set -euo pipefail
    video=${SIGNCLIP_TEST_DATA:-../shared/data}/sign/slovak_sentences/000.mp4
    if [[ ! -f $video ]]; then
        echo "skipped: no $video (set SIGNCLIP_TEST_DATA)"
        exit 0
    fi
    {{ just_executable() }} build
    python3 scripts/bench_scaling.py target/release/extract "$video"

# clips read in random order and an index of 35,000 opened, beside .npy files and HDF5 (Python, in .tools/arrays)
bench-store:
    #!/usr/bin/env bash
    set -euo pipefail
    if ! .tools/arrays/bin/python -c 'import h5py, numpy' 2>/dev/null; then
        python3 -m venv .tools/arrays
        .tools/arrays/bin/pip install --quiet --disable-pip-version-check h5py numpy
    fi
    cargo build --release --workspace --example bench_store
    .tools/arrays/bin/python scripts/bench_store.py target/release/examples/bench_store

# peak memory of extract: ten minutes of video against ten seconds, 2000 clips against 500, no face, 4K (ffmpeg; minutes)
check-memory: build
    python3 scripts/check_memory.py target/release/extract "${SIGNCLIP_TEST_DATA:-../shared/data}"

# the estimate of --dry-run --calibrate against the run, within a factor of two
check-estimate: build
    #!/usr/bin/env bash
    set -euo pipefail
    place=$(mktemp -d target/estimate.XXXXXX)
    trap 'rm -rf "$place"' EXIT
    target/release/render-corpus --out "$place/corpus" --layout phoenix --clips 200
    extract() {
        target/release/extract --dataset phoenix --root "$place/corpus" --landmarks "$place/corpus/landmarks" \
            --preset tiny --gpus cpu --split train --out "$place/cache" --json "$@"
    }
    extract --dry-run --calibrate >"$place/plan.json"
    extract >"$place/run.json"
    python3 - "$place" <<'END'
    import json, sys
    plan, run = (json.load(open(f"{sys.argv[1]}/{name}.json")) for name in ("plan", "run"))
    estimate, seconds = plan["calibration"], run["train"]["seconds"]
    promised = 3600 * estimate["hours"] - estimate["loading_seconds"]
    print(f"promised {promised:.1f} s from {estimate['sample_seconds']:.1f} s of trying, {seconds:.1f} s in truth")
    if not seconds / 2 < promised < seconds * 2:
        sys.exit("the estimate is not within a factor of two")
    END

# the Python environment of the checks and comparisons
_python:
    #!/usr/bin/env bash
    set -euo pipefail
    if ! .tools/python/bin/python -c 'import av, cv2, face_alignment, peft, torch, torchvision, transformers' 2>/dev/null; then
        python3 -m venv .tools/python
        .tools/python/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 torchvision==0.28.0 \
            transformers peft face-alignment av opencv-python-headless numpy
    fi

# format all code
fmt:
    cargo fmt --all

# for a machine with an NVIDIA GPU: the CUDA libraries that libtorch needs besides the driver (gigabytes)
cuda:
    @python3 scripts/wheels.py cuda
    @echo 'CUDA libraries are in .libtorch/cuda'
