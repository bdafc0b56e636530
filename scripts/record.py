"""A result, with what is needed to get it again, in a dated file of benches/.

    record.py NAME FILE COMMAND...    the JSON of FILE, which COMMAND made; benchmarks call `write` instead
"""
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import subprocess
import sys


def output(command):
    return subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout.strip()


def provenance(command, packages=()):
    """Date, commit, machine, command, and versions of libtorch and of Python packages."""
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    changed = "+changes" if output(["git", "status", "--porcelain", "-uno"]) else ""
    wheels = json.loads(pathlib.Path(".libtorch/installed.json").read_text())["wheels"]
    versions = {f"lib{wheel['name']}": wheel["version"] for wheel in wheels if wheel["name"] == "torch"}
    return {
        "date": datetime.date.today().isoformat(),
        "commit": output(["git", "rev-parse", "--short", "HEAD"]) + changed,
        "command": command,
        "machine": {"cpu": cpu, "cores": os.cpu_count(), "kernel": platform.release()},
        "versions": {**versions, "python": platform.python_version(),
                     **{name: importlib.metadata.version(name) for name in packages}},
    }


def write(name, report, command, packages=()):
    """benches/NAME-DATE-CPU.json; its path. An unfinished file never has the name."""
    origin = provenance(command, packages)
    cpu = re.sub("[^a-z0-9]+", "-", origin["machine"]["cpu"].lower()).strip("-")
    path = pathlib.Path(f"benches/{name}-{origin['date']}-{cpu}.json")
    path.parent.mkdir(exist_ok=True)
    path.with_suffix(".tmp").write_text(json.dumps({**origin, **report}, indent=1) + "\n")
    path.with_suffix(".tmp").replace(path)
    return path


if __name__ == "__main__":
    name, file, *command = sys.argv[1:]
    print(write(name, json.loads(pathlib.Path(file).read_text()), " ".join(command)))
