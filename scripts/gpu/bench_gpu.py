#!/usr/bin/env python3
"""How fast is it on this GPU, beside the peers in the same run? A row for each figure, a table, JSON beside it; ten minutes on a card.

    bench_gpu.py [--device 0|cpu] [--out FOLDER] [--minutes 10]

`--device cpu` runs the same at sizes that say nothing, to try the script where there is no card. The peers need transformers and
peft; without them their rows are skipped, and say so. Busy shares: by our own clock, and by nvidia-smi over the whole call, loading
included.
"""

import argparse
import importlib.util
import json
import shutil
import sys
from pathlib import Path

from bundle import CLIPS, HERE, Report, Skipped, Watch, call, last_json, run


class Sizes:
    """What is measured: on a card what fills it, on a CPU what takes seconds."""

    def __init__(self, card):
        self.frames, self.turns = (512, 5) if card else (2, 1)
        self.motion_frames = 512 if card else 16
        self.language_model = "xl" if card else "small"
        self.batch, self.steps, self.new_tokens = (16, 10, 40) if card else (2, 1, 4)
        self.repeats, self.seconds = (60, None) if card else (1, 0.08)
        self.clips, self.limit = (150, 50) if card else (16, 1)
        self.preset = "synthetic" if card else "tiny"
        self.dtype = "bf16" if card else "f32"
        self.peer_batches = (32, 64, 128, 256) if card else (2,)


LONG = {"bf16": "bfloat16", "f32": "float32"}


def peer(name, device, *arguments):
    for module in {"peer_clip.py": ["transformers"], "peer_train.py": ["transformers", "peft"], "peer_generate.py": ["transformers"]}[name]:
        if importlib.util.find_spec(module) is None:
            raise Skipped(f"{module} is not installed")
    path = HERE / name if name == "peer_clip.py" else HERE / "peers" / name
    words = [str(path), "--device", device] if name == "peer_clip.py" else [str(HERE / "on_device.py"), device, str(path)]
    return last_json(run([sys.executable, *words, *map(str, arguments)])[0])


def products(report, device):
    for dtype in ("bf16", "f32"):
        def work(dtype=dtype):
            rate = last_json(call("bench_extract", "peak", "--gpus", device, "--dtype", dtype)[0])["peak_gflops"]
            return True, f"{rate / 1e3:.2f} TFLOP/s", {"tflops": rate / 1e3}
        report.measure(f"matrix products, {dtype}", work)


def encoder(report, device, sizes, what, dtype):
    """A stage by itself; its seconds for a frame or window, or nothing."""
    unit, prepared = ("frame", ["--prepared"]) if what == "spatial" else ("window", [])
    frames = sizes.frames if what == "spatial" else sizes.motion_frames
    # float32 without TF32 is some ten times as much time on a card.
    frames = frames // 4 if dtype == "f32" and device != "cpu" else frames
    own = []

    def work():
        with Watch() as watch:
            done = last_json(call("bench_extract", what, "--gpus", device, "--dtype", dtype, "--frames", frames,
                                  "--turns", sizes.turns, *prepared)[0])
        own.append(done[f"seconds_per_{unit}"])
        return True, (f"{1 / own[0]:.2f} {unit}s/s, {done['gflops'] / 1e3:.2f} TFLOP/s, {done['share']:.2f} of the products"), {
            **done, "smi_busy": watch.busy, "most_mib": watch.most_mib}
    report.measure(f"{what} stage, {dtype}", work)
    return own[0] if own else None


def clip_peer(report, device, sizes, batch, ours):
    def work():
        done = peer("peer_clip.py", device, "--frames", sizes.frames, "--batch", batch, "--turns", sizes.turns, "--dtype", LONG[sizes.dtype])
        ratio = done["seconds_per_frame"] / ours if ours else None
        said = f"ours {ratio:.2f} times as fast" if ratio else "ours was not measured"
        return True, f"{1 / done['seconds_per_frame']:.2f} frames/s, {said}", {**done, "ratio": ratio}
    report.measure(f"peer: CLIP of transformers, batches of {batch}", work)


def corpora(sizes, place):
    """Options of `extract` for a video many times over, and for folders of pictures."""
    lines = []
    for clip in CLIPS[:1] * sizes.repeats:
        limit = {} if sizes.seconds is None else {"start": 0, "end": sizes.seconds}
        lines.append(json.dumps({"id": f"{clip.stem}-{len(lines)}", "video": str(clip), **limit}) + "\n")
    (place / "videos.jsonl").write_text("".join(lines))
    call("render-corpus", "--out", place / "corpus", "--clips", sizes.clips, "--seed", 1)
    return {"mp4": ["--dataset", place / "videos.jsonl"],
            "PNG 210x260": ["--dataset", "phoenix", "--root", place / "corpus", "--split", "train", "--limit", sizes.limit]}


def whole(report, sizes, place, name, lists, options):
    """Both streams from files on: seconds without loading."""
    def work():
        with Watch() as watch:
            said, _ = call("extract", *options, "--preset", sizes.preset, "--weights", HERE / "data" / "weights", "--gpus", lists,
                           "--dtype", sizes.dtype, "--out", place / f"{name}-{lists}".replace(",", "-"), "--json", codes=(0, 1))
        done = list(last_json(said).values())[0]
        stages = ", ".join(f"{stage} {100 * share:.0f} %" for stage, share in done["stages"].items() if stage != "waiting" and share)
        smi = "" if watch.busy is None else f", nvidia-smi {100 * watch.busy:.0f} %"
        return done["stored"] > 0, f"{done['frames'] / done['seconds']:.2f} frames/s, busy {100 * done['busy']:.1f} %{smi}; {stages}", {
            **{key: done[key] for key in ("frames", "seconds", "busy", "stages", "stored")}, "smi_busy": watch.busy, "most_mib": watch.most_mib}
    report.measure(f"extract, {name}, --gpus {lists}", work)


def language(report, device, sizes, place):
    model, dtype = place / "model", sizes.dtype
    try:
        call("bench", "weights", "--size", sizes.language_model, "--dtype", dtype, "--out", model)
    except RuntimeError as error:
        return report.row("language model", "FAILED", str(error))
    shape = ["--batch", sizes.batch]
    cases = (("train", "seconds_per_step", ["--steps", sizes.steps], "peer_train.py"),
             ("generate", "seconds", ["--new-tokens", sizes.new_tokens, "--repeat", 3], "peer_generate.py"))
    for what, field, more, script in cases:
        own = {}
        def ours(what=what, field=field, more=more, own=own):
            with Watch() as watch:
                done = last_json(call("bench", what, "--model", model, "--gpus", device, "--dtype", dtype, *shape, *more)[0])
            own["seconds"] = done[field]
            return True, f"{done[field]:.4f} s, batch {sizes.batch}", {**done, "smi_busy": watch.busy, "most_mib": watch.most_mib}
        report.measure(f"{what} Flan-T5 {sizes.language_model}, {dtype}", ours)
        def theirs(field=field, more=more, script=script, own=own):
            with Watch() as watch:
                done = peer(script, device, "--size", sizes.language_model, "--dtype", LONG[dtype], *shape, *more)
            ratio = done[field] / own["seconds"] if own else None
            return True, f"{done[field]:.4f} s, ours {ratio:.2f} times as fast" if ratio else "ours was not measured", {
                **done, "ratio": ratio, "smi_busy": watch.busy, "most_mib": watch.most_mib}
        report.measure(f"peer: {what} Flan-T5 {sizes.language_model}, {dtype}", theirs)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="0")
    parser.add_argument("--out", type=Path, default=Path("bench-gpu"))
    parser.add_argument("--minutes", type=float, default=10)
    options = parser.parse_args()
    place = options.out / "work"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    report = Report("bench-gpu", options.device, options.minutes)
    sizes = Sizes(options.device != "cpu")
    # What matters most comes first, as the time may not be enough for all.
    device, dtype = options.device, sizes.dtype
    products(report, device)
    ours = encoder(report, device, sizes, "spatial", dtype)
    clip_peer(report, device, sizes, sizes.peer_batches[0], ours)
    clips = corpora(sizes, place)
    for name, words in clips.items():
        whole(report, sizes, place, name, device, words)
    language(report, device, sizes, place)
    encoder(report, device, sizes, "motion", dtype)
    for name, words in clips.items():
        whole(report, sizes, place, name, ",".join([device] * 3), words)
    if device != "cpu":
        whole(report, sizes, place, "mp4, faces in f16", device, [*clips["mp4"], "--face-dtype", "f16"])
    for batch in sizes.peer_batches[1:]:
        clip_peer(report, device, sizes, batch, ours)
    for what in ("spatial", "motion"):
        encoder(report, device, sizes, what, {"bf16": "f32", "f32": "bf16"}[dtype])
    shutil.rmtree(place, ignore_errors=True)
    sys.exit(report.close(options.out / "bench-gpu.json"))


if __name__ == "__main__":
    main()
