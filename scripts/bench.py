"""Our program and a Python peer by turns in one run; medians, and their ratios as one JSON object on the last line. All turns
are in benches/train-* or benches/generate-*.

    bench.py train|generate PROGRAM PEERS

The peer is called as its users call it. Both get the same sizes, and the same libtorch release.
"""
import json
import os
import statistics
import subprocess
import sys

import record

what, program, peers = sys.argv[1:4]
TURNS = int(os.environ.get("SIGNCLIP_BENCH_TURNS", "3"))
SHORT = {"bfloat16": "bf16", "float32": "f32"}


def run(command):
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    return json.loads(done.stdout.strip().splitlines()[-1])


def compare(size, dtype, field):
    """Medians of both sides over the turns, and all results."""
    folder = f"target/bench/{size}-{SHORT[dtype]}"
    subprocess.run([program, "weights", "--size", size, "--dtype", SHORT[dtype], "--out", folder], check=True)
    ours, theirs = [], []
    for turn in range(TURNS):
        ours.append(run([program, what, "--model", folder, "--dtype", SHORT[dtype]]))
        theirs.append(run([sys.executable, f"{peers}/peer_{what}.py", "--size", size, "--dtype", dtype]))
        print(f"{what} {size} {dtype} turn {turn + 1}: ours {ours[-1][field]:.3f} s, peer {theirs[-1][field]:.3f} s", flush=True)
    median = [statistics.median(result[field] for result in side) for side in (ours, theirs)]
    print(f"{what} {size} {dtype}: ours {median[0]:.3f} s, peer {median[1]:.3f} s, ratio {median[1] / median[0]:.2f}", flush=True)
    return median[1] / median[0], ours, theirs


CASES = {"train": [("base", "bfloat16"), ("base", "float32")], "generate": [("small", "bfloat16"), ("base", "bfloat16")]}
FIELD = {"train": "seconds_per_step", "generate": "seconds"}
result, turns = {}, {}
for size, dtype in CASES[what]:
    case = f"{size}_{SHORT[dtype]}"
    ratio, ours, theirs = compare(size, dtype, FIELD[what])
    turns[case] = {"ours": ours, "peer": theirs}
    result[f"ratio_{case}"] = round(ratio, 3)
    for who, side in (("ours", ours), ("peer", theirs)):
        if "peak_rss_gib" in side[0]:
            result[f"peak_gib_{case}_{who}"] = round(max(turn["peak_rss_gib"] for turn in side), 2)
path = record.write(what, {"turns": turns, "result": result}, f"just bench-{what}", ("torch", "transformers", "peft"))
print(f"all turns: {path}")
print(json.dumps(result))
