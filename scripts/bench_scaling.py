"""`extract` on one core and one device against two cores and two devices, by turns; the features must be the same bytes.

    bench_scaling.py EXTRACT VIDEO

The spatial stage at its official size in fp32, computed weights. The last line is one JSON object: `scaling`, the median
over the turns of frames per second with `--gpus cpu,cpu` over those with `--gpus cpu`.
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import record

extract, video = sys.argv[1:3]
TURNS = int(os.environ.get("SIGNCLIP_BENCH_TURNS", "5"))
CLIPS, FRAMES = 4, 1
cores = sorted(os.sched_getaffinity(0))[:2]
if len(cores) < 2:
    sys.exit("skipped: this machine has one core")


def run(devices, place):
    """Frames per second, and the checksums of each clip's rows. Every device has one core, and libtorch one thread."""
    with tempfile.TemporaryDirectory(dir=place) as out:
        command = [extract, "--dataset", f"{place}/clips.jsonl", "--preset", "synthetic", "--streams", "spatial",
                   "--dtype", "f32", "--gpus", ",".join(["cpu"] * devices), "--out", out, "--json"]
        command = ["taskset", "-c", ",".join(map(str, cores[:devices])), *command]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        done = json.loads(done.stdout)["all"]
        index = pathlib.Path(out, "all/clips-00000.jsonl").read_text().splitlines()
    assert done["frames"] == CLIPS * FRAMES, done
    sums = {clip["id"]: clip["streams"] for clip in map(json.loads, index)}
    return done["frames"] / done["seconds"], done["busy"], sums


with tempfile.TemporaryDirectory(dir="target") as place:
    clips = [{"id": f"clip{n}", "video": str(pathlib.Path(video).resolve()), "start": n, "end": n + FRAMES / 25} for n in range(CLIPS)]
    pathlib.Path(place, "clips.jsonl").write_text("".join(json.dumps(clip) + "\n" for clip in clips))
    turns = []
    for number in range(TURNS):
        (one, busy_one, sums_one), (two, busy_two, sums_two) = run(1, place), run(2, place)
        if sums_one != sums_two:
            sys.exit(f"two devices give other features than one: {sums_one} {sums_two}")
        turns.append({"one": one, "two": two, "scaling": two / one, "busy_one": busy_one, "busy_two": busy_two})
        print(f"turn {number + 1}: {one:.3f} frames/s on one device ({100 * busy_one:.0f} % busy), {two:.3f} on two "
              f"({100 * busy_two:.0f} % busy), {two / one:.2f} times", flush=True)

result = {"scaling": round(statistics.median(turn["scaling"] for turn in turns), 3)}
report = {"clips": CLIPS, "frames": FRAMES, "turns": turns, "result": result}
path = record.write("scaling", report, "just bench-scaling")
print(f"all turns: {path}; the same bytes each time")
print(json.dumps(result))
