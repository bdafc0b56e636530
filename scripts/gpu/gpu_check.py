#!/usr/bin/env python3
"""Is everything right on this GPU? A row for each question, a table at the end, JSON beside it; ten minutes on a card.

    gpu_check.py [--device 0|cpu] [--out FOLDER] [--frames 8] [--minutes 10]

`--device cpu` runs the same on the CPU (two replicas: cpu,cpu), to try the script where there is no card. Needs the torch that
the bundle was built for, and NumPy. Nothing outside of the bundle and the output folder is read or written.
"""

import argparse
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from bundle import CLIPS, HERE, Report, Skipped, call, command, environment, last_json

import numpy as np  # noqa: I001
from signclip.store import Store

# Of float32 against float32 on another device, and of bf16 against float32, as the project promises them.
REL_L2, COSINE = 1e-4, 0.999
# The first steps of a training in float32: later ones follow the rounding of the earlier.
STEPS, LOSS = 10, 1e-3


# --- The numbers of every network -----------------------------------------------------------------------------------


def golden(report, device):
    """A row for each test: the largest share of its tolerance, or the smallest cosine above its bound."""
    begun = time.monotonic()
    done = subprocess.run(command("golden", "--show-output", "--test-threads=2"), capture_output=True, text=True, check=False,
                          timeout=max(1, report.end - time.monotonic()),
                          env=environment(SIGNCLIP_DEVICE=device, SIGNCLIP_GOLDEN=HERE / "golden", SIGNCLIP_TEST_DATA=HERE / "data"))
    verdicts = dict(re.findall(r"^test (\S+) \.\.\. (ok|FAILED)", done.stdout, re.MULTILINE))
    printed = dict(re.findall(r"^---- (\S+) stdout ----\n(.*?)(?=^---- |^successes:|^failures:|\Z)", done.stdout,
                              re.MULTILINE | re.DOTALL))
    if not verdicts:
        return report.row("golden", "FAILED", (done.stdout + done.stderr).strip()[-300:] or "no test ran")
    for name, verdict in sorted(verdicts.items()):
        text = printed.get(name, "")
        shares = [max(float(a) / max(float(c), 1e-300), float(b) / max(float(d), 1e-300)) for a, b, c, d in
                  re.findall(r"difference\| ([\d.e+-]+|inf|NaN), relative L2 ([\d.e+-]+|inf|NaN); allowed ([\d.e+-]+|inf), ([\d.e+-]+|inf)", text)]
        cosines = [float(cosine) for cosine in re.findall(r"cosine (?:of the worst frame )?([\d.]+)", text)]
        said = [f"{len(shares)} arrays, worst at {100 * max(shares):.0f} % of its tolerance"] if shares else []
        said += [f"{len(cosines)} cosines, least {min(cosines):.6f}"] if cosines else []
        skipped = re.findall(r"^skipped: (.*)", text, re.MULTILINE)
        if verdict == "FAILED":
            panic = re.search(r"panicked at[^\n]*\n([^\n]*)", text)
            said.insert(0, panic[1] if panic else "failed")
        report.row(f"golden {name}", "skipped" if skipped and not said else "ok" if verdict == "ok" else "WRONG",
                   "; ".join(said + skipped) or "passed")
    report.row("golden, all", "ok" if done.returncode == 0 else "WRONG", f"{len(verdicts)} tests", time.monotonic() - begun)


# --- Extraction -----------------------------------------------------------------------------------------------------


def clip_list(path, seconds=None):
    lines = [{"id": clip.stem, "video": str(clip), **({"start": 0, "end": seconds} if seconds else {})} for clip in CLIPS]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def extract(out, device, *options, **how):
    """The stores of a run, with the outcome and what it logged."""
    said, log = call("extract", *options, "--gpus", device, "--store-dtype", "f32", "--out", out, "--json", **how)
    return [Store(path.parent) for path in sorted(out.glob("*/store.json"))], said, log


FACES = ["--weights", HERE / "data" / "weights", "--detector", "mobilenet0.25", "--landmark-source", "retinaface5"]


def compare(ours, theirs, rel_l2=REL_L2, cosine=None):
    """Two runs over the same clips: same clips, same faces, near or parallel rows."""
    worst, least, clips, faces = 0.0, 1.0, 0, True
    for a, b in zip(ours, theirs, strict=True):
        assert [clip.id for clip in a] == [clip.id for clip in b], "not the same clips"
        for one, other in zip(a, b, strict=True):
            clips += 1
            faces &= all(one.line.get(key) == other.line.get(key) for key in ("face_coverage", "missed", "mouths_outside"))
            for stream in a.streams:
                x, y = (np.asarray(clip[stream], np.float64) for clip in (one, other))
                assert x.shape == y.shape, f"{one.id}, {stream}: {x.shape} and {y.shape}"
                norms = np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1)
                if norms[1].any():
                    worst = max(worst, float(np.linalg.norm(x - y) / np.linalg.norm(y)))
                # A clip without a face has rows of zeros on both sides.
                both = (norms[0] > 0) & (norms[1] > 0)
                assert (norms[0] > 0).tolist() == (norms[1] > 0).tolist(), f"{one.id}, {stream}: rows of zeros on one side"
                if both.any():
                    least = min(least, float(((x * y).sum(1)[both] / (norms[0] * norms[1])[both]).min()))
    good = clips > 0 and faces and (worst <= rel_l2 if cosine is None else least >= cosine)
    said = f"{clips} clips, relative L2 at most {worst:.1e}, cosine at least {least:.6f}, faces {'equal' if faces else 'DIFFER'}"
    return good, said, {"clips": clips, "rel_l2": worst, "cosine": least, "same_faces": faces}


def extraction(report, device, place, frames):
    if not CLIPS:
        return report.row("extraction", "skipped", "the bundle has no clips")
    few = ["--dataset", clip_list(place / "few.jsonl", frames / 25), "--preset", "synthetic", *FACES]
    whole = ["--dataset", clip_list(place / "whole.jsonl"), "--preset", "tiny", *FACES]
    reference = {}

    def on_cpu(name, options):
        if name not in reference:
            reference[name] = extract(place / f"cpu-{name}", "cpu", *options, "--dtype", "f32")[0]
        return reference[name]

    for name, options in (("full-size networks", few), ("small networks, whole clips", whole)):
        key = name.split()[0]
        for dtype, bounds in (("f32", {}), ("bf16", {"cosine": COSINE})):
            def work(key=key, options=options, dtype=dtype, bounds=bounds):
                ours = extract(place / f"device-{key}-{dtype}", device, *options, "--dtype", dtype)[0]
                return compare(ours, on_cpu(key, options), **bounds)
            report.measure(f"extract, {name}, {dtype}, against the CPU", work)
    def half_faces():
        ours = extract(place / "device-half-faces", device, *whole, "--dtype", "f32", "--face-dtype", "f16")[0]
        return compare(ours, on_cpu("small", whole), cosine=COSINE)
    report.measure("extract, small networks, faces in f16, against the CPU's in f32", half_faces)
    for list_of in dict.fromkeys((f"{device},{device}", f"{device},cpu")):
        def work(list_of=list_of):
            ours = extract(place / f"replicas-{list_of.replace(',', '-')}", list_of, *whole, "--dtype", "f32")[0]
            return compare(ours, on_cpu("small", whole))
        report.measure(f"extract --gpus {list_of}", work)


# --- A rendered corpus: training, kill and resume -------------------------------------------------------------------


def corpus(place):
    """(options of extract, the features of the CPU)"""
    call("render-corpus", "--out", place / "corpus", "--clips", 24, "--seed", 1)
    options = ["--dataset", "phoenix", "--root", place / "corpus", "--landmarks", place / "corpus" / "landmarks",
               "--preset", "tiny", "--dtype", "f32"]
    extract(place / "cache", "cpu", *options)
    return options


def train_options(place, run, device, *settings):
    settings = ("optimiser.epochs=3", "language_model.dtype=f32", "checkpoint_every=2", *settings)
    return ["--features", place / "cache", "--run", place / run, "--preset", "tiny", "--gpus", device,
            *(word for setting in settings for word in ("--set", setting))]


def losses(run):
    """Losses and norm of the gradient by step; a resumed run writes no step twice."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return {line["step"]: line for line in lines if "gradient_norm" in line}


def compare_losses(ours, theirs, steps, bound):
    assert ours.keys() == theirs.keys(), f"steps {sorted(ours)} and {sorted(theirs)}"
    worst = 0.0
    for step in sorted(ours)[:steps]:
        for key, value in theirs[step].items():
            if isinstance(value, float) and ("loss" in key or key in ("total", "trans", "vt", "sm", "gradient_norm")):
                worst = max(worst, abs(ours[step][key] - value) / max(abs(value), 1e-6))
    compared = min(steps, len(ours))
    return compared > 0 and worst <= bound, f"{compared} steps, relative difference at most {worst:.1e}", {"difference": worst}


def killed(words, ready, out):
    """Run until `ready`, kill -9, then run to the end."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())
    while not ready() and process.poll() is None:
        time.sleep(0.01)
    early = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = subprocess.run(words, capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 0, f"the second run: exit code {done.returncode}\n{done.stderr[-300:]}"
    if not early:
        raise Skipped(f"{out.name} was done before it could be killed")


def lines_of(folder, pattern):
    return sum(path.read_bytes().count(b"\n") for path in folder.glob(pattern))


def training(report, device, place):
    options = []
    def features():
        options.extend(corpus(place))
        return compare(extract(place / "device-cache", device, *options)[0], [Store(p.parent) for p in sorted((place / "cache").glob("*/store.json"))])
    report.measure("extract, rendered corpus, f32, against the CPU", features)
    if not options:
        return

    def against_cpu():
        for run, where in (("run-cpu", "cpu"), ("run-device", device)):
            call("train", *train_options(place, run, where))
        return compare_losses(losses(place / "run-device"), losses(place / "run-cpu"), STEPS, LOSS)
    report.measure("train, f32, against the CPU", against_cpu)

    def replicas():
        # Each device has dropout masks of its own.
        for run, where in (("run-one", device), ("run-two", f"{device},{device}")):
            call("train", *train_options(place, run, where, "language_model.dropout=0"))
        return compare_losses(losses(place / "run-two"), losses(place / "run-one"), STEPS, LOSS)
    report.measure(f"train --gpus {device},{device}", replicas)

    def killed_training():
        run = place / "run-killed"
        killed(command("train", *train_options(place, run.name, device)), lambda: lines_of(run, "log.jsonl") >= 4, run)
        # On the CPU to the bit; a GPU does not promise that.
        return compare_losses(losses(run), losses(place / "run-device"), 10**6, 0.0 if device == "cpu" else LOSS)
    report.measure("train, killed and resumed", killed_training)

    def killed_extraction():
        out = place / "killed-cache"
        words = command("extract", *options, "--gpus", device, "--store-dtype", "f32", "--out", out)
        killed(words, lambda: lines_of(out, "*/clips-*.jsonl") >= 3, out)
        stores = [[Store(p.parent) for p in sorted((place / name).glob("*/store.json"))] for name in ("killed-cache", "device-cache")]
        return compare(*stores, rel_l2=0.0 if device == "cpu" else REL_L2)
    report.measure("extract, killed and resumed", killed_extraction)

    def translated():
        bleu = {}
        for where in (device, "cpu"):
            said, _ = call("evaluate", "--run", place / "run-device", "--split", "test", "--gpus", where, "--json")
            bleu[where] = last_json(said)["scores"]["bleu"]["bleu"]
        gap = max(abs(ours - theirs) for ours, theirs in zip(bleu[device], bleu["cpu"], strict=True))
        return gap <= 1.0, f"BLEU-1 {bleu[device][0]:.2f}, on the CPU {bleu['cpu'][0]:.2f}", {"bleu": bleu}
    report.measure("evaluate, beam search, against the CPU", translated)


# --- Too little memory ----------------------------------------------------------------------------------------------


def little_memory(device, place):
    """An allocation beside the run leaves less and less, until a batch has to be halved."""
    if device == "cpu":
        raise Skipped("there is no memory of a card to fill; run/faults.rs tests the halving")
    import torch

    clips = ["--dataset", clip_list(place / "oom.jsonl", 2), "--preset", "synthetic", *FACES, "--dtype", "f32"]
    for left_gib in (6, 4, 3, 2.5, 2):
        free = torch.cuda.mem_get_info(int(device))[0]
        taken = torch.empty(max(0, free - int(left_gib * 2**30)), dtype=torch.uint8, device=f"cuda:{device}")
        try:
            stores, _, log = extract(place / f"oom-{left_gib}", device, *clips, codes=(0, 1, 2))
        finally:
            del taken
            torch.cuda.empty_cache()
        if "out of memory with" in log:
            stored = sum(len(store) for store in stores)
            said = f"with {left_gib} GiB free: {re.search(r'out of memory with.*', log)[0].strip()}; {stored} of {len(CLIPS)} clips stored"
            return stored == len(CLIPS), said, {"left_gib": left_gib}
    return False, "no batch was halved", {}


def device_lost():
    raise Skipped("nothing outside can break one device of a process and leave the others; run/queue.rs tests the handing back")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="0")
    parser.add_argument("--out", type=Path, default=Path("gpu-check"))
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--minutes", type=float, default=10)
    options = parser.parse_args()
    place = options.out / "work"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    report = Report("gpu-check", options.device, options.minutes)
    # The golden cases last: they are many, and take what time there is.
    extraction(report, options.device, place, options.frames)
    training(report, options.device, place)
    report.measure("extract, too little memory", lambda: little_memory(options.device, place))
    report.measure("extract, a device breaks", device_lost)
    try:
        golden(report, options.device)
    except subprocess.TimeoutExpired:
        report.row("golden", "not run", "no time left")
    shutil.rmtree(place, ignore_errors=True)
    sys.exit(report.close(options.out / "gpu-check.json"))


if __name__ == "__main__":
    main()
