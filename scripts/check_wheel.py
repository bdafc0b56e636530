#!/usr/bin/env python3
"""Checks the newest wheel of dist/ (`just check-wheel`): what is in it, and that it works in a root without compiler, FFmpeg
or OpenCV, for a user without root.

    check_wheel.py [clips=DIR] [suite=bookworm] [packages=few|all] [demo=no|yes]

clips      videos whose features are compared with those of target/release/extract
suite      the Debian whose root is made (debootstrap, once, in .tools/roots)
packages   few: of what torch asks for, only what the programs load (libcudart, libcupti); all: as pip decides (gigabytes)
demo       also run `signclip demo` there (minutes)

Runs as root, for debootstrap and chroot. Leaves .tools/roots/SUITE; the user's home there is removed.
"""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOTS = ROOT / ".tools" / "roots"
PROGRAMS = ["extract", "train", "evaluate", "translate", "ablate"]
MOST_BYTES, MOST_SECONDS = 60e6, 0.3
# What every Linux has, by PEP 600's policies.
SYSTEM = {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "libstdc++.so.6", "libz.so.1", "libpthread.so.0", "libdl.so.2",
          "librt.so.1", "ld-linux-x86-64.so.2"}
FEW = ["nvidia-cuda-runtime==13.0.96", "nvidia-cuda-cupti==13.0.85", "numpy"]


def fail(problem):
    sys.exit(f"check-wheel: {problem}")


def note(what):
    print(f"ok    {what}", flush=True)


def output(*command, **options):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False, **options)
    if done.returncode != 0:
        fail(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}")
    return done.stdout


# --- The wheel by itself --------------------------------------------------------------------------------------


def look_inside(wheel, folder):
    """Unpack; sizes, requirements and search paths of every program and library."""
    if wheel.stat().st_size > MOST_BYTES:
        fail(f"{wheel.name} has {wheel.stat().st_size / 1e6:.1f} MB")
    note(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB")
    shutil.rmtree(folder, ignore_errors=True)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    package = folder / "signclip"
    own = {path.name for path in (package / "lib").glob("*.so.*")}
    for path in [*(package / "bin").iterdir(), *(package / "lib").glob("*.so.*")]:
        path.chmod(0o755)
        dynamic = output("readelf", "-d", path)
        for found in re.findall(r"(?:RPATH|RUNPATH).*\[(.*)\]", dynamic):
            if any(not part.startswith("$ORIGIN/") and part != "$ORIGIN" for part in found.split(":")):
                fail(f"{path.name} is looked for libraries in {found}")
        needed = set(re.findall(r"NEEDED.*\[(.*)\]", dynamic))
        strange = needed - own - SYSTEM - {"libtorch_cpu.so", "libc10.so"}
        if strange:
            fail(f"{path.name} needs {', '.join(sorted(strange))}")
    note("no absolute search path; only own libraries, torch's CPU half and the system's are needed")
    return package


def same_tests(package):
    """The tests of decoding, pictures and downloads with the wheel's programs and libraries."""
    # The tests make their videos with this machine's ffmpeg, which has encoders: it keeps its own libraries.
    shims = ROOTS / "shims"
    shims.mkdir(parents=True, exist_ok=True)
    for name in ("ffmpeg", "ffprobe"):
        (shims / name).write_text(f'#!/bin/sh\nexec env -u LD_LIBRARY_PATH {shutil.which(name)} "$@"\n')
        (shims / name).chmod(0o755)
    # For the tests alone: cargo would build everything again.
    settings = {"SIGNCLIP_PROGRAMS": package / "bin", "PATH": f"{shims}:{os.environ['PATH']}",
                "LD_LIBRARY_PATH": f"{package / 'lib'}:{ROOT / '.libtorch' / 'lib'}"}
    runner = " ".join(["env", *(f"{name}={value}" for name, value in settings.items())])
    environment = {**os.environ, "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER": runner}
    cargo = ["cargo", "test", "--release", "--workspace"]
    said = output(*cargo, "--test", "decode", cwd=ROOT, env=environment)
    said += output(*cargo, "--test", "cli", "--", "media::", "playlists::", "damaged::", "fetch::", "gaps::", cwd=ROOT,
                   env=environment)
    note("tests with the wheel's FFmpeg, OpenCV and programs: " + "; ".join(re.findall(r"test result: (.*?);", said)))


# --- A root of its own ----------------------------------------------------------------------------------------


class Root:
    """A Debian without compiler, FFmpeg and OpenCV, and a user without root in it."""

    def __init__(self, suite):
        self.folder = ROOTS / suite
        if not (self.folder / "made").exists():
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            output("debootstrap", "--variant=minbase", "--include=python3,python3-venv", suite, self.folder)
            (self.folder / "made").touch()
        self.home = self.folder / "home" / "user"
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        os.chown(self.home, 1000, 1000)
        packages = self.run("dpkg-query", "-W", "-f", "${Package}\n").split()
        wrong = [name for name in packages if re.match(r"gcc-\d+$|g\+\+|clang|libav|ffmpeg|libopencv|rustc", name)]
        if wrong:
            fail(f"{self.folder} has {', '.join(wrong)}")
        self.python = self.run("python3", "-c", "import sys; print('%d%d' % sys.version_info[:2])").strip()

    def command(self, *command):
        inside = ["chroot", "--userspec=1000:1000", self.folder, "env", "-i", "HOME=/home/user", "PATH=/usr/bin:/bin",
                  "LANG=C.UTF-8", "bash", "-c", 'cd; "$@"', "-", *command]
        return ["unshare", "--mount", "--pid", "--fork", f"--mount-proc={self.folder / 'proc'}", *inside]

    def run(self, *command):
        return output(*self.command(*command))

    def refused(self, *command):
        done = subprocess.run([str(part) for part in self.command(*command)], capture_output=True, text=True, check=False)
        if done.returncode != 2 or len(done.stderr.splitlines()) != 1:
            fail(f"{command}: exit code {done.returncode}, where one line and 2 are expected\n{done.stderr}")
        return done.stderr.strip()

    def give(self, path, name):
        """Copy a file or folder into the home."""
        to = self.home / name
        shutil.copytree(path, to) if path.is_dir() else shutil.copy2(path, to)
        for each in [to, *to.rglob("*")]:
            os.chown(each, 1000, 1000)


def download(root, torch, packages):
    """The folder of torch's wheels for the root's Python, filled once: the root needs no certificates."""
    wheels = ROOTS / f"wheels-{root.python}-{torch}-{packages}"
    if not wheels.exists():
        fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "--python-version", root.python,
                 "--implementation", "cp", "--abi", f"cp{root.python}"]
        for glibc in (35, 34, 31, 28, 27, 26, 25, 24, 18, 17, 12, 5):
            fetch += ["--platform", f"manylinux_2_{glibc}_x86_64"]
        fetch += ["--platform", "manylinux2014_x86_64", "--platform", "linux_x86_64", "--dest", f"{wheels}.part"]
        if packages == "all":
            output(*fetch, f"torch=={torch}", "numpy")
        else:
            output(*fetch, "--no-deps", f"torch=={torch}", *FEW)
        Path(f"{wheels}.part").rename(wheels)
    return wheels


def install(root, wheel, torch, packages):
    """venv and pip, from wheels that are downloaded outside."""
    # Bound, not copied: gigabytes.
    inside = root.folder / "wheels"
    inside.mkdir(exist_ok=True)
    output("mount", "--bind", download(root, torch, packages), inside)
    try:
        root.give(wheel, wheel.name)
        root.run("python3", "-m", "venv", "v")
        pip = ["v/bin/pip", "install", "--quiet", "--no-index", "--find-links", "/wheels", "--no-cache-dir"]
        if packages == "all":
            root.run(*pip, wheel.name)
        else:
            root.run(*pip, "--no-deps", wheel.name, *(name.split("==")[0] for name in FEW))
            # Before there is any torch.
            said = root.refused("v/bin/extract", "--help")
            if torch not in said or "has none" not in said:
                fail(f"without torch: {said}")
            note(f"without torch: {said}")
            root.run(*pip, "--no-deps", "torch")
    finally:
        output("umount", inside)
    note(f"{root.folder.name}: installed by a user without root ({packages} of torch's packages)")


def installed(root, torch):
    """What pip and the programs say, where libraries come from, how long a start takes."""
    shown = root.run("v/bin/pip", "show", "signclip")
    if "LGPL" not in shown or f"torch {torch}" not in shown:
        fail(f"pip show does not tell FFmpeg's licence and torch\n{shown}")
    version = root.run("v/bin/signclip", "--version")
    for part in ("commit ", f"libtorch {torch} in /home/user/v/lib/", "FFmpeg ", "LGPL version 2.1 or later", "OpenCV "):
        if part not in version:
            fail(f"signclip --version does not say {part!r}\n{version}")
    print(re.sub("^", "      ", version.rstrip(), flags=re.M))
    site = next((root.home / "v" / "lib").glob("python3*")) / "site-packages"
    bin_folder = "/" + str((site / "signclip" / "bin").relative_to(root.folder))
    allowed = (f"/home/user/v/", "/lib/", "/usr/lib/", "/lib64/")
    for name in PROGRAMS:
        for line in root.run("ldd", f"{bin_folder}/{name}").splitlines():
            library, _, place = line.strip().partition(" => ")
            if "not found" in line or (place and not place.startswith(allowed)):
                fail(f"{name}: {line}")
            if place.startswith(("/lib/", "/usr/lib/")) and library not in SYSTEM | {"libgomp.so.1", "libutil.so.1"}:
                fail(f"{name}: {library} comes from the system: {place}")
        if not (root.home / "v" / "share" / "man" / "man1" / f"{name}.1").is_file():
            fail(f"no man page of {name}")
        for line in root.run(f"v/bin/{name}", "--help").splitlines()[:1]:
            note(f"{name} --help: {line}")
    seconds, waited = min(cost(root, "v/bin/extract", "--help") for _ in range(7))
    seconds -= cost(root, "true")[0]
    said = f"extract --help: {seconds:.2f} s of processor time ({waited:.2f} s in all, load {os.getloadavg()[0]:.1f})"
    if seconds > MOST_SECONDS:
        fail(said)
    note(said)
    doctor = root.run("v/bin/signclip", "doctor")
    if "libtorch_cuda.so" not in doctor or "not there; looked" in doctor:
        fail(f"doctor does not find the CUDA half in torch\n{doctor}")
    note("doctor finds libtorch_cuda.so beside libtorch_cpu.so")
    file = site / "torch" / "version.py"
    text = file.read_text()
    file.write_text(text.replace(torch, "1.2.3"))
    said = root.refused("v/bin/extract", "--help")
    file.write_text(text)
    if "1.2.3" not in said or torch not in said:
        fail(f"another torch: {said}")
    note(f"another torch: {said}")
    # Without the nvidia wheels, which stay where they are.
    (site / "torch").rename(root.home / "torch")
    version = root.run("env", "PYTHONPATH=/home/user", "v/bin/extract", "--version")
    (root.home / "torch").rename(site / "torch")
    if "in /home/user/torch/lib" not in version:
        fail(f"torch in another folder of packages is not found\n{version}")
    note("torch in another folder of packages is found")


def cost(root, *command):
    """Processor and wall time of a command; the first does not depend on what else the machine does."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    root.run(*command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, time.monotonic() - begun


def sums(store):
    """Checksum of each payload by clip and stream."""
    found = {}
    for index in store.rglob("clips-*.jsonl"):
        for line in index.read_text().splitlines():
            clip = json.loads(line)
            for stream, place in clip["streams"].items():
                found[clip["id"], stream] = (place["rows"], place["sha256"])
    return found


def same_features(root, clips):
    """The programs of the wheel and those built here make the same bytes."""
    videos = sorted(path.relative_to(clips) for path in clips.rglob("*.mp4"))
    if not videos:
        fail(f"no .mp4 below {clips}")
    names = [str(path) for path in videos]
    arguments = ["--preset", "tiny", "--streams", "spatial,mouthing", "--gpus", "cpu", "--videos", *names]
    root.give(clips, "clips")
    root.run("bash", "-c", 'cd clips; exec ../v/bin/extract --out ../store "$@"', "-", *arguments)
    here = ROOTS / "store"
    shutil.rmtree(here, ignore_errors=True)
    output(ROOT / "target" / "release" / "extract", "--out", here, *arguments, cwd=clips)
    ours, theirs = sums(here), sums(root.home / "store")
    if not ours or ours != theirs:
        differ = [key for key in ours if ours[key] != theirs.get(key)]
        fail(f"{len(differ)} of {len(ours)} payloads differ: {differ[:5]}")
    note(f"{len(ours)} payloads of {len(videos)} videos are those of the build from source, byte for byte")
    script = ("import sys, hashlib; from signclip.store import Store, StoreDataset\n"
              "for clip in Store(sys.argv[1]):\n  for s in clip.store.streams:\n"
              "    print(clip.id, s, len(clip[s]), hashlib.sha256(clip[s].tobytes()).hexdigest())")
    split = next((root.home / "store").rglob("store.json")).parent.relative_to(root.home)
    said = {(i, s): (int(n), h) for i, s, n, h in
            (line.rsplit(" ", 3) for line in root.run("v/bin/python", "-c", script, split).splitlines())}
    if said != ours:
        fail("signclip.store reads other payloads")
    note("signclip.store reads the same payloads")


def main(arguments):
    options = {"clips": "", "suite": "bookworm", "packages": "few", "demo": "no", "wheel": ""}
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key not in options:
            fail(f"{argument!r} is not known; known: {', '.join(options)}")
        options[key] = value
    wheels = sorted((ROOT / "dist").glob("*.whl"), key=lambda path: path.stat().st_mtime)
    wheel = Path(options["wheel"]) if options["wheel"] else wheels[-1] if wheels else fail("no wheel in dist/: just wheel")
    if os.geteuid() != 0:
        fail("this needs root: debootstrap, chroot")
    package = look_inside(wheel, ROOTS / "unpacked")
    torch = re.search(r'TORCH = "(.*)"', (package / "built.py").read_text())[1]
    if "+" not in wheel.name:
        same_tests(package)
    root = Root(options["suite"])
    try:
        install(root, wheel, torch, options["packages"])
        installed(root, torch)
        if options["clips"]:
            same_features(root, Path(options["clips"]).resolve())
        if options["demo"] == "yes":
            said = root.run("v/bin/signclip", "demo", "trial")
            if not (root.home / "trial" / "runs" / "demo" / "report.html").is_file():
                fail(f"the demo leaves no report\n{said}")
            note("signclip demo: " + next((line for line in said.splitlines() if "BLEU" in line), "done").strip())
    finally:
        shutil.rmtree(root.home, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1:])
