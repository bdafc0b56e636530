#!/usr/bin/env python3
"""Builds dist/signclip-gpu-<version>.tar.xz (`just gpu-bundle`, docs/gpu.md): what checks and measures a GPU on a machine that has
nothing but a driver and a Python with torch.

    gpu_bundle.py                for the torch of .libtorch
    gpu_bundle.py torch=2.11     for torch 2.11

The programs and libraries are those of the wheel (scripts/wheel.py). Beside them: the golden tests and their cases, the
programs that measure, clips, the peers. Cases, clips and peers are taken from $SIGNCLIP_GOLDEN, $SIGNCLIP_TEST_DATA and
$SIGNCLIP_PEERS, by default from ../shared; the bundle stays with who made it.
"""

import json
import os
import shutil
import sys
import tarfile

import wheel
from wheel import ROOT, TOOLS, Failed

MOST_BYTES = 60e6
EXAMPLES = ["bench", "bench_extract"]
# A picture of 1280x720 and one of 852x480, with a face each that the small detector finds.
CLIPS = ["sign/how2sign/_fZbAxSSbX4_0-5-rgb_front.mp4", "sign/slovak_sentences/000.mp4"]
WEIGHTS = "weights/mobilenet0.25_Final.pth"
PEERS = ["peer_common.py", "peer_train.py", "peer_generate.py"]


def given(variable, default):
    folder = ROOT / os.environ.get(variable, default)
    if not folder.is_dir():
        raise Failed(f"there is no {folder}; set {variable}")
    return folder


def golden_test(folder):
    """The test program, by what cargo says of it."""
    messages = map(json.loads, wheel.cargo(folder, "test", "--test", "golden", "--no-run", "--message-format=json").splitlines())
    found = [m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "golden"]
    if len(found) != 1:
        raise Failed(f"cargo names {len(found)} golden tests")
    return found[0]


def copy(source, target):
    if not source.is_file():
        raise Failed(f"there is no {source}")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def assemble(stage, folder, version, torch):
    built = wheel.build(folder)
    wheel.cargo(folder, "build", *(word for name in EXAMPLES for word in ("--example", name)))
    test = golden_test(folder)
    shutil.rmtree(stage, ignore_errors=True)
    package = stage / "signclip"
    wheel.place_package(built, package, version, torch)
    wheel.place_program(test, package, "golden")
    for name in EXAMPLES:
        wheel.place_program(built / "examples" / name, package, name)
    for script in (ROOT / "scripts" / "gpu").glob("*.py"):
        copy(script, stage / script.name)
    golden, data = given("SIGNCLIP_GOLDEN", "../shared/golden"), given("SIGNCLIP_TEST_DATA", "../shared/data")
    for case in sorted(golden.rglob("*")):
        if case.is_file() and case.suffix != ".md":
            copy(case, stage / "golden" / case.relative_to(golden))
    for clip in CLIPS:
        copy(data / clip, stage / "data" / "clips" / clip.rsplit("/", 1)[1])
    # Where the golden tests look for it, and where `extract` does.
    for place in ("weights", "weights/retinaface"):
        copy(data / WEIGHTS, stage / "data" / place / WEIGHTS.rsplit("/", 1)[1])
    peers = given("SIGNCLIP_PEERS", "../shared/peers")
    for peer in PEERS:
        copy(peers / peer, stage / "peers" / peer)


def pack(stage):
    archive = ROOT / "dist" / f"{stage.name}.tar.xz"
    archive.parent.mkdir(exist_ok=True)
    beside = archive.with_suffix(".tmp")

    def plain(member):
        member.uid = member.gid = member.mtime = 0
        member.uname = member.gname = ""
        member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
        return member

    with tarfile.open(beside, "w:xz") as tar:
        tar.add(stage, stage.name, filter=plain)
    beside.rename(archive)
    return archive


def main(arguments):
    folder, version, torch = wheel.prepare(arguments)
    stage = TOOLS / "bundle" / f"signclip-gpu-{version}"
    assemble(stage, folder, version, torch)
    archive = pack(stage)
    size = archive.stat().st_size
    print(f"{archive.relative_to(ROOT)}  {size / 1e6:.1f} MB")
    if size > MOST_BYTES:
        raise Failed(f"the bundle is larger than {MOST_BYTES / 1e6:.0f} MB")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Failed as failure:
        print(f"gpu-bundle: {failure}", file=sys.stderr)
        sys.exit(2)
