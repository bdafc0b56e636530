"""Checksums of the features and losses that this commit's programs make: print them at two commits and compare.

Called by `just feature-sums FILE [FOLDER]`, which writes FILE. Each line is a case, a clip, a stream and the SHA-256 of the clip's rows, or a
case, a step and its losses. Cases: the rendered demo corpus with preset tiny, its first clips with the full-size networks
(computed weights) in float32 and bf16 and with detector, landmark network and windows of faces, the real clips of the
folder that is given, and a short training on one device. Two commits that make the same features and losses write the same
file; formats 1 and 2 of the store are both read.
"""

import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

CLIPS = 24
EPOCHS = 2
# Of the clip that the full-size networks see.
FRAMES = 3

bin, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
real = pathlib.Path(sys.argv[3]) if len(sys.argv) > 3 else None
lines = []


def call(program, *arguments, codes=(0,)):
    command = [bin / program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in codes:
        sys.exit(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")


def rows(store):
    """Stream and checksum of every clip, from the shards' bytes; what the index says of them must agree."""
    streams = json.loads((store / "store.json").read_text())
    size = 2 if streams["dtype"] == "<f2" else 4
    for index in sorted(store.glob("clips-*.jsonl")):
        rank = index.stem.removeprefix("clips-")
        for clip in map(json.loads, index.read_text().splitlines()):
            for name, info in sorted(streams["streams"].items()):
                old = {"offset": clip.get("offset"), "rows": clip["frames"], "sha256": clip.get("sha256", {}).get(name)}
                place = clip.get("streams", {}).get(name, old)
                width = size * info["dim"]
                with open(store / f"{name}-{rank}-{clip['shard']:05}.npy", "rb") as shard:
                    shard.seek(128 + place["offset"] * width)
                    sum = hashlib.sha256(shard.read(place["rows"] * width)).hexdigest()
                assert sum == place["sha256"], f"{store}: {clip['id']}, {name}"
                yield clip["id"], name, sum


def extract(case, folder, *arguments, codes=(0,)):
    call("extract", *arguments, "--out", folder, "--gpus", "cpu", codes=codes)
    for store in sorted(path.parent for path in folder.glob("*/store.json")):
        lines.extend(f"{case} {store.name}/{id} {name} {sum}" for id, name, sum in rows(store))
    print(f"{case}: {sum(line.startswith(case + ' ') for line in lines)} lines", file=sys.stderr, flush=True)


def short_clip(corpus, folder):
    """The first frames of a rendered clip, with their landmarks."""
    clip = sorted((corpus / "features/fullFrame-210x260px/dev").iterdir())[0]
    (folder / "clip").mkdir(parents=True)
    for picture in sorted(clip.iterdir())[:FRAMES]:
        shutil.copy(picture, folder / "clip")
    landmarks = next((corpus / "landmarks").rglob(f"{clip.name}.npy")).read_bytes()
    header, row = 10 + int.from_bytes(landmarks[8:10], "little"), 68 * 2 * 4
    assert b"'<f4'" in landmarks[:header], "landmarks were meant to be float32"
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({FRAMES}, 68, 2), }}".ljust(117) + "\n"
    begin = b"\x93NUMPY\x01\x00\x76\x00" + text.encode()
    (folder / "short.npy").write_bytes(begin + landmarks[header : header + FRAMES * row])
    (folder / "clips.jsonl").write_text(json.dumps({"id": "short", "frames": str(folder / "clip")}) + "\n")
    return ["--dataset", folder / "clips.jsonl", "--preset", "synthetic"]


with tempfile.TemporaryDirectory() as place:
    place = pathlib.Path(place)
    corpus = place / "corpus"
    call("render-corpus", "--out", corpus, "--clips", CLIPS, "--seed", 1)
    phoenix = ["--dataset", "phoenix", "--root", corpus]
    landmarks = ["--landmarks", corpus / "landmarks"]
    extract("tiny", place / "tiny", *phoenix, *landmarks, "--preset", "tiny")
    extract("tiny-faces", place / "faces", *phoenix, "--preset", "tiny", "--limit", 2, "--detect-every", 3)
    few = short_clip(corpus, place / "short")
    for kind in ("f32", "bf16"):
        extract(f"synthetic-{kind}", place / kind, *few, "--landmarks", place / "short", "--dtype", kind)
    extract("synthetic-fan", place / "fan", *few, "--dtype", "f32", "--s2-source", "frame", "--store-dtype", "f32")
    call("train", "--features", place / "tiny", "--run", place / "run", "--preset", "tiny", "--gpus", "cpu",
         "--set", f"optimiser.epochs={EPOCHS}")
    for step in map(json.loads, (place / "run/log.jsonl").read_text().splitlines()):
        losses = {key: value for key, value in step.items() if key not in ("seconds", "time", "clips_per_second", "memory")}
        lines.append(f"training {json.dumps(losses, sort_keys=True)}")
    if real:
        media = (".mp4", ".webm", ".mkv", ".avi", ".mov")
        videos = {path.stem: path for path in sorted(real.rglob("*")) if path.suffix in media}
        clips = place / "real.jsonl"
        clips.write_text("".join(json.dumps({"id": id, "video": str(path.resolve())}) + "\n" for id, path in videos.items()))
        extract("real", place / "real", "--dataset", clips, "--preset", "tiny", codes=(0, 1))
# Clips are finished in an order of chance.
out.write_text("".join(line + "\n" for line in sorted(lines)))
print(f"{len(lines)} lines in {out}", file=sys.stderr)
