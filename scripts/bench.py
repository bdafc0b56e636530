"""Our program and a Python peer by turns in one run; medians, and their ratios as one JSON object on the last line.

    bench.py train|generate PROGRAM PEERS

The peer is called as its users call it. Both get the same sizes, and the same libtorch release.
"""
import json
import os
import statistics
import subprocess
import sys

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
        peer = [f"{peers}/peer_{what}.py", "--size", size]
        if size == "llama-small":
            peer = [os.path.join(os.path.dirname(__file__), "peer_llama.py"), what]
        theirs.append(run([sys.executable, *peer, "--dtype", dtype]))
        print(f"{what} {size} {dtype} turn {turn + 1}: ours {ours[-1][field]:.3f} s, peer {theirs[-1][field]:.3f} s", flush=True)
    median = [statistics.median(result[field] for result in side) for side in (ours, theirs)]
    print(f"{what} {size} {dtype}: ours {median[0]:.3f} s, peer {median[1]:.3f} s, ratio {median[1] / median[0]:.2f}", flush=True)
    return median[1] / median[0], ours, theirs


if what == "train":
    bf16, ours_bf16, theirs_bf16 = compare("base", "bfloat16", "seconds_per_step")
    fp32, ours_fp32, theirs_fp32 = compare("base", "float32", "seconds_per_step")
    peak = lambda results: round(max(result["peak_rss_gib"] for result in results), 2)
    print(f"peak memory in fp32: ours {peak(ours_fp32)} GiB, peer {peak(theirs_fp32)} GiB; in bf16, below")
    llama, ours_llama, theirs_llama = compare("llama-small", "bfloat16", "seconds_per_step")
    print(f"peak memory of llama-small: ours {peak(ours_llama)} GiB, peer {peak(theirs_llama)} GiB")
    result = {"step_ratio_llama_bf16": llama, "step_ratio_bf16": bf16, "step_ratio_fp32": fp32, "peak_gib": peak(ours_bf16), "peer_peak_gib": peak(theirs_bf16)}
else:
    result = {f"generate_ratio_{size}": compare(size, "bfloat16", "seconds")[0] for size in ("small", "base", "llama-small")}
print(json.dumps({name: round(value, 3) for name, value in result.items()}))
