#!/usr/bin/env python3
"""Unpacks the wheels of manifests/wheels.json: libtorch and just (called by ./justw), cuda (called by `just cuda`).

    wheels.py libtorch just    into .libtorch/ and .tools/
    wheels.py cuda             into .libtorch/cuda/
    wheels.py libtorch-2.11    into .tools/torch-2.11/.libtorch/ (called by `just wheel torch=2.11`)

pip only downloads: it knows this machine's index, proxy and certificates. Nothing is installed into any Python
and no code of a wheel is run. Each wheel's sha256 is checked before it is opened; everything is unpacked into
.tools/staging and renamed into place at the end, so that an interrupted run leaves nothing that looks finished.
Without a network: put the wheels into a folder and set PIP_NO_INDEX=1 PIP_FIND_LINKS=<folder>.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "manifests" / "wheels.json"
TOOLS = ROOT / ".tools"
STAGING = TOOLS / "staging"
LIBTORCH = ROOT / ".libtorch"

# Any Python will do: of torch's wheel only torch/lib and torch/include are used, so one build is pinned.
TARGET = ["--python-version", "311", "--implementation", "cp", "--abi", "cp311"]
PLATFORMS = ["manylinux_2_28", "manylinux_2_27", "manylinux_2_25", "manylinux_2_18", "manylinux_2_17", "manylinux2014"]

# The CUDA half of libtorch stands apart from lib/, where the linker would find it and make it a requirement.
CUDA_HALF = re.compile(r"lib(torch_cuda|c10_cuda|torch_cuda_linalg|torch_nvshmem|caffe2_nvrtc)\.so")


class Failed(Exception):
    """One line for the user."""


# --- Where each member of a wheel goes; None: nowhere --------------------------------------------------------


def place_libtorch(member):
    path = member.split("/")
    name = path[-1]
    if path[:2] == ["torch", "include"]:
        return "include/" + "/".join(path[2:])
    if path[:2] == ["torch", "lib"] and len(path) == 3 and ".so" in name and name != "libtorch_python.so":
        return ("cuda/" if CUDA_HALF.fullmatch(name) else "lib/") + name
    if name in ("libcudart.so.13", "libcupti.so.13"):
        return "lib/" + name
    return None


def place_just(member):
    return "just" if member.endswith(".data/scripts/just") else None


def place_cuda(member):
    path = member.split("/")
    return path[-1] if path[0] == "nvidia" and path[-2] == "lib" and ".so" in path[-1] else None


LIBTORCH_FILES = ["lib/libtorch_cpu.so", "lib/libc10.so", "lib/libcudart.so.13", "lib/libcupti.so.13",
                  "cuda/libtorch_cuda.so", "include/ATen/ATen.h"]

# group: (folder, what must be there in the end, rule)
GROUPS = {
    "libtorch": (LIBTORCH, LIBTORCH_FILES, place_libtorch),
    "libtorch-2.11": (TOOLS / "torch-2.11" / ".libtorch", LIBTORCH_FILES, place_libtorch),
    "just": (TOOLS, ["just"], place_just),
    # What `readelf -d` of the CUDA half names, and what those libraries name in turn.
    "cuda": (LIBTORCH / "cuda", ["libcublas.so.13", "libcublasLt.so.13", "libcudnn.so.9", "libcufft.so.12",
                                 "libcufile.so.0", "libcurand.so.10", "libcusolver.so.12", "libcusparse.so.12",
                                 "libcusparseLt.so.0", "libnccl.so.2", "libnvJitLink.so.13", "libnvrtc.so.13",
                                 "libnvshmem_host.so.3"], place_cuda),
}


# --- Progress: one line rewritten on a terminal, a line now and then elsewhere --------------------------------


class Progress:
    def __init__(self):
        self.tty = sys.stderr.isatty()
        self.last = time.monotonic()

    def show(self, text, final=False):
        now = time.monotonic()
        if not final and now - self.last < (0.2 if self.tty else 10):
            return
        self.last = now
        end = "\n" if final or not self.tty else ""
        sys.stderr.write(("\r\033[K" if self.tty else "") + "justw: " + text + end)
        sys.stderr.flush()


def megabytes(count):
    return f"{count / 1e6:.0f}" if count >= 10e6 else f"{count / 1e6:.1f}"


# --- Download, check, unpack ----------------------------------------------------------------------------------


def folder_bytes(folder):
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.path.getsize(os.path.join(where, name))
            except OSError:
                pass
    return total


def download(what, wheels, into, progress):
    into.mkdir(parents=True)
    scratch = into.parent / "pip"
    scratch.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
               "--disable-pip-version-check", "--no-cache-dir", "--progress-bar", "off", "--retries", "2",
               "--dest", str(into), *TARGET]
    for platform in PLATFORMS:
        command += ["--platform", platform + "_x86_64"]
    command += [f"{wheel['name']}=={wheel['version']}" for wheel in wheels]

    known = all("bytes" in wheel for wheel in wheels)
    total = sum(wheel.get("bytes", 0) for wheel in wheels)
    of_total = f" of {megabytes(total)}" if known else ""
    log_path = into.parent / "pip.log"
    with open(log_path, "wb") as log:
        pip = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                               env={**os.environ, "TMPDIR": str(scratch)})
        try:
            while True:
                try:
                    status = pip.wait(timeout=0.2)
                    break
                except subprocess.TimeoutExpired:
                    here = folder_bytes(scratch)
                    progress.show(f"{what}: downloading, {megabytes(min(here, total) if known else here)}{of_total} MB")
        except BaseException:
            pip.kill()
            pip.wait()
            raise
    if status != 0:
        raise Failed(f"{what} is not installed and could not be downloaded: {pip_reason(log_path)}")
    progress.show(f"{what}: downloaded {megabytes(folder_bytes(into))} MB", final=True)


def pip_reason(log_path):
    # Without a network pip ends with "no matching distribution"; the cause stands further up.
    lines = log_path.read_text(errors="replace").splitlines()
    if any("Retrying" in line for line in lines):
        return "the Python package index cannot be reached; this first run needs a network"
    errors = [line for line in lines if line.startswith("ERROR")] or lines[-1:] or ["pip said nothing"]
    return errors[0].replace("ERROR: ", "")[:300]


def check(wheels, folder, progress):
    """The file of each wheel, its sha256 compared with the lock."""
    files = []
    for wheel in wheels:
        stem = f"{wheel['name'].replace('-', '_')}-{wheel['version']}"
        found = [path for path in folder.glob("*.whl") if path.name.lower().startswith(stem + "-")]
        if len(found) != 1:
            raise Failed(f"{wheel['name']} {wheel['version']}: pip left {len(found)} files where one was expected")
        digest = hashlib.sha256()
        with open(found[0], "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
                progress.show(f"checking {found[0].name}")
        if digest.hexdigest() != wheel["sha256"]:
            raise Failed(f"{found[0].name} has sha256 {digest.hexdigest()}, manifests/wheels.json says "
                         f"{wheel['sha256']}: nothing was installed; run the command again")
        files.append(found[0])
    return files


def unpack(what, files, place, into, progress):
    into.mkdir(parents=True)
    plan = []
    for path in files:
        archive = zipfile.ZipFile(path)
        for member in archive.infolist():
            target = place(member.filename)
            if target and not member.is_dir():
                if ".." in target.split("/") or target.startswith("/"):
                    raise Failed(f"{path.name} holds a file with the path {member.filename}")
                plan.append((archive, member, into / target))
    total = sum(member.file_size for _, member, _ in plan)
    done = 0
    for archive, member, target in plan:
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(member) as source, open(target, "wb") as sink:
            while block := source.read(1 << 20):
                sink.write(block)
                done += len(block)
                progress.show(f"{what}: unpacking, {100 * done // total} %")
        if ".so" in target.name or target.name == "just":
            target.chmod(target.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    progress.show(f"{what}: unpacked {megabytes(total)} MB", final=True)


# --- One group ------------------------------------------------------------------------------------------------


def marker(group):
    return GROUPS[group][0] / ("just.json" if group == "just" else "installed.json")


def receipt(wheels):
    return json.dumps({"wheels": wheels}, indent=2) + "\n"


def is_installed(group, wheels):
    folder, required, _ = GROUPS[group]
    try:
        if marker(group).read_text() != receipt(wheels):
            return False
    except OSError:
        return False
    return all((folder / name).exists() for name in required)


def install(group, wheels, progress):
    folder, required, place = GROUPS[group]
    shutil.rmtree(STAGING, ignore_errors=True)
    STAGING.mkdir(parents=True)
    download(group, wheels, STAGING / "wheels", progress)
    files = check(wheels, STAGING / "wheels", progress)
    fresh = STAGING / "fresh"
    unpack(group, files, place, fresh, progress)
    for name in required:
        if not (fresh / name).exists():
            raise Failed(f"{group}: the wheels hold no {name}; manifests/wheels.json names other ones than this script knows")
    if place is place_libtorch:
        (fresh / "installed.json").write_text(receipt(wheels))
        if folder.exists():
            folder.rename(STAGING / "old")
        folder.parent.mkdir(exist_ok=True)
        fresh.rename(folder)
        return
    # These share their folder with other files: the files first, the marker last.
    marker(group).unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    for path in fresh.iterdir():
        path.replace(folder / path.name)
    (STAGING / "marker").write_text(receipt(wheels))
    (STAGING / "marker").replace(marker(group))


def main(groups):
    lock = json.loads(LOCK.read_text())["groups"]
    if not groups or any(group not in lock for group in groups):
        raise Failed(f"usage: wheels.py {' | '.join(lock)}")
    TOOLS.mkdir(exist_ok=True)
    with open(TOOLS / "lock", "w") as guard:
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("justw: waiting for another set-up in this folder", file=sys.stderr)
            fcntl.flock(guard, fcntl.LOCK_EX)
        try:
            for group in groups:
                if group == "cuda" and not marker("libtorch").exists():
                    raise Failed("libtorch itself is missing: run ./justw setup first")
                if not is_installed(group, lock[group]["wheels"]):
                    install(group, lock[group]["wheels"], Progress())
        finally:
            shutil.rmtree(STAGING, ignore_errors=True)


def run():
    # A plain kill cleans up like Ctrl-C; kill -9 leaves .tools/staging, which the next run removes.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main(sys.argv[1:])
    except (Failed, OSError) as failure:
        message, status = str(failure), 2
    except zipfile.BadZipFile as failure:
        message, status = f"a wheel is damaged ({failure}); run the command again", 2
    except KeyboardInterrupt:
        message, status = "interrupted; nothing half-installed was left", 130
    else:
        return 0
    print(f"justw: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(run())
