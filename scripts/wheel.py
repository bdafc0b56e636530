#!/usr/bin/env python3
"""Builds dist/signclip-<version>-py3-none-manylinux_2_<N>_x86_64.whl (`just wheel`, docs/packaging.md).

    wheel.py                 for the torch of .libtorch
    wheel.py torch=2.11      for torch 2.11, from a copy of the sources in .tools/torch-2.11

FFmpeg and OpenCV come from scripts/wheel_media.sh, libtorch at run time from the environment's own torch.
"""

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
MEDIA = TOOLS / "media"
PROGRAMS = ["extract", "train", "evaluate", "translate", "ablate", "train-language", "render-corpus"]
SCRIPTS = ["extract", "train", "evaluate", "translate", "ablate", "signclip"]

# torch: (its full version, the version of tch that is made for it; None: that of Cargo.lock)
TORCH = {"2.13": ("2.13.0", None), "2.11": ("2.11.0", "0.24.0")}


class Failed(Exception):
    """One line for the user."""


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], check=False, **options)
    if done.returncode != 0:
        raise Failed(f"{' '.join(str(part) for part in command)} failed (exit code {done.returncode})")
    return done.stdout


def output(*command, **options):
    return run(*command, stdout=subprocess.PIPE, text=True, **options).strip()


# --- Programs -------------------------------------------------------------------------------------------------


def sources(torch, tch):
    """The folder to build in: this one, or a copy that is locked to another tch and has another .libtorch."""
    if tch is None:
        return ROOT
    copy = TOOLS / f"torch-{torch}"
    run(sys.executable, ROOT / "scripts" / "wheels.py", f"libtorch-{torch}")
    for old in copy.iterdir():
        if old.name not in (".libtorch", "target"):
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    listed = output("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in listed.splitlines():
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            # With its time, so that cargo builds only what has changed.
            shutil.copy2(ROOT / name, copy / name)
    run("cargo", "update", "--quiet", "--precise", tch, "tch", cwd=copy)
    return copy


def commit():
    known = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"], cwd=ROOT,
                           capture_output=True, text=True, check=False)
    return known.stdout.strip() or "unknown"


def environment(folder):
    """Of programs that build or run the sources in a folder of `sources`."""
    variables = {**os.environ, "SIGNCLIP_COMMIT": commit()}
    if folder != ROOT:
        # Set for the ROOT's own libtorch, they would win over the copy's settings.
        for variable in ("LIBTORCH", "LD_LIBRARY_PATH", "CARGO_TARGET_DIR"):
            variables.pop(variable, None)
    return variables


def cargo(folder, *arguments):
    """What `cargo` prints, for the sources in a folder of `sources`. The C++ parts are those of `just build`, and built once."""
    return output("cargo", *arguments, "--release", "--workspace", cwd=folder, env=environment(folder))


def build(folder):
    """All programs; the folder they are in."""
    cargo(folder, "build", "--bins")
    return folder / "target" / "release"


# --- What goes into the wheel ---------------------------------------------------------------------------------


def place_program(program, package, name):
    """One program, stripped; it finds the package's libraries, and those of a torch beside the package."""
    shutil.copy2(program, package / "bin" / name)
    run("strip", package / "bin" / name)
    find_in(package / "bin" / name, "$ORIGIN/../lib:$ORIGIN/../../torch/lib")


def place_package(built, package, version, torch):
    """What runs: the programs, their libraries, and the module that starts them."""
    for folder in ("bin", "lib"):
        (package / folder).mkdir(parents=True)
    for name in PROGRAMS:
        place_program(built / name, package, name)
    for library in (MEDIA / "lib").iterdir():
        shutil.copy2(library, package / "lib" / library.name)
        find_in(package / "lib" / library.name, "$ORIGIN")
    for name in ("__init__.py", "launcher.py", "store.py", "py.typed"):
        shutil.copy2(ROOT / "python" / "signclip" / name, package / name)
    (package / "built.py").write_text(
        f'"""What this wheel was built from and for."""\n\nVERSION = "{version}"\nCOMMIT = "{commit()}"\nTORCH = "{torch}"\n')


def find_in(file, places):
    """Let a program or library find others in `places`: by DT_RPATH, which wins over LD_LIBRARY_PATH, where the modules of a
    cluster put other FFmpegs."""
    run("patchelf", "--force-rpath", "--set-rpath", places, file)


def glibc(package):
    """The newest glibc that a file of the wheel asks for: 35 for 2.35."""
    files = [*(package / "bin").iterdir(), *(package / "lib").iterdir()]
    return max(int(number) for file in files for number in re.findall(r" GLIBC_2\.(\d+)", output("objdump", "-p", file)))


def media_versions():
    return dict(line.split() for line in (MEDIA / "about" / "versions").read_text().splitlines())


def metadata(version, torch):
    media = media_versions()
    return f"""Metadata-Version: 2.4
Name: signclip
Version: {version}
Summary: Sign-language video in, spoken-language text out. For torch {torch}; with FFmpeg {media['ffmpeg']} (LGPL 2.1 or later), dav1d {media['dav1d']} (BSD-2-Clause), OpenCV {media['opencv']} (Apache-2.0)
License-Expression: (MIT OR Apache-2.0) AND LGPL-2.1-or-later AND BSD-2-Clause AND Apache-2.0
License-File: LICENSE-MIT
License-File: LICENSE-APACHE
License-File: ffmpeg.txt
License-File: dav1d.txt
License-File: opencv.txt
Requires-Python: >=3.10
Requires-Dist: torch=={torch}
Requires-Dist: numpy
Description-Content-Type: text/markdown

Sign-language video in, spoken-language text out: the programs `extract`, `train`, `evaluate`, `translate` and `ablate`, all
of them also as `signclip PROGRAM`, and `signclip.store`, which reads the features from Python. `signclip demo` shows the
whole job, `signclip doctor` what a machine has.

libtorch is that of the environment's torch {torch}. Inside are, as shared libraries that may be replaced, parts of
FFmpeg {media['ffmpeg']} and dav1d {media['dav1d']}, and OpenCV {media['opencv']}, built from Debian's source packages of these
versions (`apt-get source ffmpeg={media['ffmpeg']}`).
"""


def umbrella_manuals(stage, share, version):
    """Man page and completion of `signclip`, by what its help says."""
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(stage))
    from signclip import launcher

    text = launcher.HELP.replace("\\", "\\e").replace("-", "\\-")
    (share / "man" / "man1" / "signclip.1").write_text(
        f'.TH signclip 1 "" "signclip {version}"\n.SH NAME\nsignclip \\- sign\\-language video in, spoken\\-language text out\n'
        f".SH DESCRIPTION\n.nf\n{text}\n.fi\n")
    commands = " ".join([*launcher.PROGRAMS[:-1], *launcher.OF_EXTRACT, "demo"])
    (share / "bash-completion" / "completions" / "signclip").write_text(f'complete -o default -W "{commands}" signclip\n')


def assemble(stage, built, version, torch):
    """Everything as it lies in the wheel; the tag."""
    shutil.rmtree(stage, ignore_errors=True)
    package = stage / "signclip"
    place_package(built, package, version, torch)
    shutil.copy2(ROOT / "scripts" / "demo.sh", package / "demo.sh")
    shutil.copy2(MEDIA / "about" / "ffmpeg-configuration", package / "ffmpeg-configuration.txt")

    share = stage / f"signclip-{version}.data" / "data" / "share"
    for name in PROGRAMS[:-1]:
        # The build folder's programs: they find their libtorch by themselves.
        run(built / name, "--write-manuals", share)
    umbrella_manuals(stage, share, version)

    tag = f"py3-none-manylinux_2_{glibc(package)}_x86_64"
    about = stage / f"signclip-{version}.dist-info"
    licences = about / "licenses"
    licences.mkdir(parents=True)
    for path in [ROOT / "LICENSE-MIT", ROOT / "LICENSE-APACHE", *(MEDIA / "about").glob("*.txt")]:
        shutil.copy2(path, licences / path.name)
    (about / "METADATA").write_text(metadata(version, torch))
    (about / "WHEEL").write_text(f"Wheel-Version: 1.0\nGenerator: scripts/wheel.py\nRoot-Is-Purelib: false\nTag: {tag}\n")
    (about / "entry_points.txt").write_text("[console_scripts]\n" + "".join(
        f"{name} = signclip.launcher:{name}\n" for name in SCRIPTS))
    return tag


def pack(stage, version, tag):
    """The wheel; equal files make equal bytes."""
    wheel = ROOT / "dist" / f"signclip-{version}-{tag}.whl"
    wheel.parent.mkdir(exist_ok=True)
    record_name = f"signclip-{version}.dist-info/RECORD"
    record = []
    beside = wheel.with_suffix(".tmp")
    with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        def add(name, content, mode):
            info = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            info.external_attr = (0o100000 | mode) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)

        for path in sorted(path for path in stage.rglob("*") if path.is_file()):
            name, content = path.relative_to(stage).as_posix(), path.read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            record.append(f"{name},sha256={digest},{len(content)}\n")
            add(name, content, 0o755 if path.stat().st_mode & 0o100 else 0o644)
        add(record_name, "".join(record) + f"{record_name},,\n", 0o644)
    beside.rename(wheel)
    return wheel


def prepare(arguments):
    """What the command line asks for, with FFmpeg and OpenCV in place: the sources to build, our version, torch's full one."""
    torch = "2.13"
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key != "torch" or value not in TORCH:
            raise Failed(f"usage: [torch={'|'.join(TORCH)}]; {argument!r} is not known")
        torch = value
    for program in ("patchelf", "objdump", "strip", "cargo", "git"):
        if not shutil.which(program):
            raise Failed(f"{program} is missing: apt-get install --no-install-recommends patchelf binutils git")
    full, tch = TORCH[torch]
    run(ROOT / "scripts" / "wheel_media.sh")
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    # Two wheels of one version may lie beside each other.
    if tch is not None:
        version += f"+torch{torch}"
    return sources(torch, tch), version, full


def main(arguments):
    folder, version, torch = prepare(arguments)
    stage = TOOLS / "wheel" / torch
    wheel = pack(stage, version, assemble(stage, build(folder), version, torch))
    print(f"{wheel.relative_to(ROOT)}  {wheel.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Failed as failure:
        print(f"wheel: {failure}", file=sys.stderr)
        sys.exit(2)
