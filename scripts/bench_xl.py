"""A language model of official size on random weights: load, three steps, plain and recomputing, one clip translated. All
figures are in benches/xl-MODEL-*.

    bench_xl.py MODEL PROGRAM

bf16, on a processor that multiplies it natively. Writes 5.7 to 16 GB into target/bench, and removes them.
"""
import json
import shutil
import subprocess
import sys

import record

model, program = sys.argv[1:]
folder = f"target/bench/{model}-bf16"


def run(*arguments):
    done = subprocess.run([program, *arguments, "--model", folder, "--dtype", "bf16"], check=True, stdout=subprocess.PIPE, text=True)
    print(" ".join(arguments) + ": " + done.stdout.strip(), flush=True)
    return json.loads(done.stdout)


try:
    subprocess.run([program, "weights", "--size", model, "--dtype", "bf16", "--out", folder], check=True)
    turns = {}
    # Without recomputation the largest does not fit into 24 GiB.
    if model != "llama-3.1-8b":
        turns["train"] = run("train", "--steps", "2")
    turns["train_recomputing"] = run("train", "--steps", "2", "--recompute")
    turns["generate"] = run("generate", "--batch", "1", "--repeat", "1")
finally:
    shutil.rmtree(folder, ignore_errors=True)
result = {f"peak_gib_{name}": round(turn["peak_rss_gib"], 2) for name, turn in turns.items()}
path = record.write(f"xl-{model}", {"turns": turns, "result": result}, f"just bench-xl {model}")
print(f"all figures: {path}")
print(json.dumps(result))
