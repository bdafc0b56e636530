"""extract and a Python peer by turns in one run, and the encoder against this machine's matrix products.

    bench_extract.py EXTRACT BENCH PEERS DATA

EXTRACT and BENCH are the programs `extract` and `bench_extract`, PEERS the folder of peer_extract.py, DATA that of the real
clips. Each turn runs, in bf16 and in fp32: the spatial stage alone, the whole of `extract`, and the peer, which reports
its spatial stage and its whole; then the motion stage alone, and scripts/peer_motion.py beside it. Loading and process start
are in neither side's time. All figures of a turn are in benches/extract-<date>-<processor>.json; the last line is one JSON object of medians:

    share_*           arithmetic of the published algorithm in the spatial stage, per second, over that of the products
    ratio_*           the peer's seconds a frame over ours, spatial stage
    pipeline_ratio_*  the same, both streams from the file on
    motion_ratio_*    the peer's seconds a window of VideoMAE-Large over ours, motion stage; motion_share_* its arithmetic
    *_default         ours with its default compute type on this CPU, the peer with its own (fp32)
    busy              share of the time that our device thread spent in networks, default compute type

For a quick look: SIGNCLIP_BENCH_TURNS, _FRAMES, _CLIPS, and _DTYPES=f32, which leaves the figures of the other type null.
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import record

extract, bench, peers, data = sys.argv[1:5]
TURNS = int(os.environ.get("SIGNCLIP_BENCH_TURNS", "5"))
FRAMES = int(os.environ.get("SIGNCLIP_BENCH_FRAMES", "8"))
CLIPS = int(os.environ.get("SIGNCLIP_BENCH_CLIPS", "3"))
MOTION_FRAMES = 24  # two windows
DTYPES = os.environ.get("SIGNCLIP_BENCH_DTYPES", "bf16,f32").split(",")
LONG = {"bf16": "bfloat16", "f32": "float32"}
NAME = {"bf16": "bf16", "f32": "fp32"}

videos = sorted(pathlib.Path(data, "sign/slovak_sentences").resolve().glob("*.mp4"))[:CLIPS]
place = pathlib.Path(tempfile.mkdtemp(dir="target"))


def run(command):
    """The JSON that a program prints, on one line or many."""
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout[done.stdout.index("{"):])


def whole(dtype):
    """Both streams of the clips at 25 fps, cut to FRAMES frames, with the trained detector."""
    with tempfile.TemporaryDirectory(dir=place) as out:
        done = run([extract, "--dataset", place / "clips.jsonl", "--preset", "synthetic", "--weights", place / "weights",
                    "--detector", "mobilenet0.25", "--gpus", "cpu", "--dtype", dtype, "--out", out, "--json"])["all"]
    assert done["frames"] == FRAMES * len(videos), done
    assert all(done["face_coverage"].values()), f"a clip without a face: the lip encoder had nothing to do: {done}"
    return done


def turn(dtype):
    stage = run([bench, "spatial", "--dtype", dtype, "--frames", FRAMES, "--video", videos[0]])
    ours = whole(dtype)
    peer = run([sys.executable, f"{peers}/peer_extract.py", "--video", videos[0], "--frames", FRAMES, "--dtype", LONG[dtype]])
    motion = run([bench, "motion", "--dtype", dtype, "--frames", MOTION_FRAMES, "--video", videos[0]])
    motion_peer = run([sys.executable, "scripts/peer_motion.py", videos[0], MOTION_FRAMES, LONG[dtype]])
    return {"stage": stage, "whole": ours, "peer": peer, "motion": motion, "motion_peer": motion_peer,
            "motion_share": motion["share"], "ours_motion": motion["seconds_per_window"],
            "peer_motion": motion_peer["seconds_per_window"], "share": stage["share"], "busy": ours["busy"],
            "ours_stage": stage["seconds_per_frame"], "peer_stage": peer["stages"]["clip_s2"] / peer["frames"],
            "ours_whole": ours["seconds"] / ours["frames"], "peer_whole": peer["seconds"] / peer["frames"]}


(place / "weights/retinaface").mkdir(parents=True)
(place / "weights/retinaface/mobilenet0.25_Final.pth").symlink_to(pathlib.Path(data, "weights/mobilenet0.25_Final.pth").resolve())
clips = [{"id": video.stem, "video": str(video), "start": 0, "end": FRAMES / 25} for video in videos]
(place / "clips.jsonl").write_text("".join(json.dumps(clip) + "\n" for clip in clips))

turns = {dtype: [] for dtype in DTYPES}
for number in range(TURNS):
    for dtype in DTYPES:
        t = turn(dtype)
        turns[dtype].append(t)
        print(f"turn {number + 1} {NAME[dtype]}: spatial stage {t['ours_stage']:.3f} s a frame, peer {t['peer_stage']:.3f}, "
              f"{t['stage']['gflops']:.0f} of {t['stage']['peak_gflops']:.0f} GFLOP/s; "
              f"motion {t['ours_motion']:.3f} s a window, peer {t['peer_motion']:.3f}; "
              f"whole {t['ours_whole']:.3f} s a frame, peer {t['peer_whole']:.3f}, device {100 * t['busy']:.1f} % busy", flush=True)

median = {dtype: {field: statistics.median(t[field] for t in turns[dtype])
                  for field in ("share", "motion_share", "busy", "ours_stage", "peer_stage", "ours_motion", "peer_motion",
                                "ours_whole", "peer_whole")} for dtype in DTYPES}
default = "bf16" if turns[DTYPES[0]][0]["stage"]["bf16_in_hardware"] else "f32"


def figure(ours, theirs=None, of="stage"):
    """The peer's seconds over ours, or a figure of our own; none where one side was not measured."""
    if theirs is None:
        return median[ours][of] if ours in median else None
    return median[theirs][f"peer_{of}"] / median[ours][f"ours_{of}"] if ours in median and theirs in median else None


result = {}
for dtype, name in NAME.items():
    result[f"share_{name}"] = figure(dtype, of="share")
    result[f"ratio_{name}"] = figure(dtype, dtype)
    result[f"pipeline_ratio_{name}"] = figure(dtype, dtype, "whole")
    result[f"motion_share_{name}"] = figure(dtype, of="motion_share")
    result[f"motion_ratio_{name}"] = figure(dtype, dtype, "motion")
result["ratio_default"] = figure(default, "f32")
result["pipeline_ratio_default"] = figure(default, "f32", "whole")
result["busy"] = figure(default, of="busy")
result = {name: value and round(value, 3) for name, value in result.items()}
if default == "f32":
    print("this CPU has no bf16 arithmetic: the default is fp32 here, and bf16 is emulated on both sides")

report = {"frames": FRAMES, "clips": [video.name for video in videos], "turns": turns, "medians": median, "result": result}
shortened = [f"{name}={value} " for name, value in sorted(os.environ.items()) if name.startswith("SIGNCLIP_BENCH_")]
path = record.write("extract", report, "".join(shortened) + "just bench-extract", ("torch", "transformers", "face-alignment", "av"))
subprocess.run(["rm", "-rf", place], check=True)
print(f"all turns: {path}")
print(json.dumps(result))
