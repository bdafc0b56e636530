#!/usr/bin/env python3
"""Runs the newest bundle of dist/ on the CPU in a root without compiler, FFmpeg or OpenCV, with torch from PyPI, for a user without root
(`just check-gpu-bundle`; debootstrap, as root).

    check_gpu_bundle.py [torch=2.11] [frames=1] [minutes=10]

Leaves .tools/roots/bookworm, as check_wheel.py does; the user's home there is removed.
"""

import shutil
import sys
import tarfile

import check_wheel
from check_wheel import FEW, ROOT, Root, fail, note, output


def main(arguments):
    options = {"torch": "", "frames": "1", "minutes": "10"}
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key not in options:
            fail(f"{argument!r} is not known")
        options[key] = value
    bundles = [path for path in (ROOT / "dist").glob("signclip-gpu-*.tar.xz") if f"torch{options['torch']}" in path.name or not options["torch"]]
    if not bundles:
        fail("there is no bundle in dist/: just gpu-bundle")
    bundle = max(bundles, key=lambda path: path.stat().st_mtime)
    root = Root("bookworm")
    try:
        with tarfile.open(bundle) as tar:
            tar.extractall(root.home, filter="data")
        folder = next(root.home.glob("signclip-gpu-*"))
        root.give(folder, "bundle")
        built = (folder / "signclip" / "built.py").read_text()
        torch = built.split('TORCH = "')[1].split('"')[0]
        inside = root.folder / "wheels"
        inside.mkdir(exist_ok=True)
        output("mount", "--bind", check_wheel.download(root, torch, "few"), inside)
        try:
            root.run("python3", "-m", "venv", "v")
            root.run("v/bin/pip", "install", "--quiet", "--no-index", "--find-links", "/wheels", "--no-cache-dir", "--no-deps", "torch",
                     *(name.split("==")[0] for name in FEW))
        finally:
            output("umount", inside)
        note(f"{bundle.name} with torch {torch} from PyPI, in {root.folder.name}")
        said = root.run("v/bin/python", "bundle/gpu_check.py", "--device", "cpu", "--frames", options["frames"], "--minutes",
                        options["minutes"], "--out", "out")
        print(said[said.index("\ngpu-check on"):].strip())
        note("gpu_check.py")
    finally:
        shutil.rmtree(root.home, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1:])
