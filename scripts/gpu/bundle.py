"""The bundle that this file lies in: its programs with this Python's torch, and a report of rows."""

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from signclip import built, launcher  # noqa: E402

BIN = HERE / "signclip" / "bin"
CLIPS = sorted((HERE / "data" / "clips").glob("*.mp4"))


class Skipped(Exception):
    """Why a row was not measured."""


def command(program, *arguments):
    return [str(part) for part in (BIN / program, *arguments)]


def environment(**more):
    """Variables of a program; `more` wins."""
    # As the programs set it for themselves; the tests cannot.
    return {**launcher.environment(), "NVIDIA_TF32_OVERRIDE": "0", "TORCH_CUDNN_SDPA_DEPRIORITIZED": "1",
            **{name: str(value) for name, value in more.items()}}


def call(program, *arguments, codes=(0,), timeout=None, **variables):
    """What a program of the bundle prints."""
    return run(command(program, *arguments), codes, timeout, environment(**variables))


def run(words, codes=(0,), timeout=None, variables=None):
    """(standard output, standard error) of a command."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=timeout, env=variables, check=False)
    if done.returncode not in codes:
        end = (done.stdout + done.stderr).strip().splitlines()[-12:]
        raise RuntimeError(f"{Path(words[0]).name} {' '.join(words[1:])}: exit code {done.returncode}\n" + "\n".join(end))
    return done.stdout, done.stderr


def last_json(text):
    return json.loads(text[text.index("{"):])


def card():
    """Name, driver and memory of the GPUs; nothing where there is no driver."""
    try:
        ask = "--query-gpu=name,driver_version,memory.total"
        return run(["nvidia-smi", ask, "--format=csv,noheader"])[0].strip().splitlines()
    except (OSError, RuntimeError):
        return []


class Watch:
    """The busy share and the memory of GPU 0 by nvidia-smi, four times a second, while the block runs."""

    def __enter__(self):
        ask = ["nvidia-smi", "-i", "0", "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits", "-lms", "250"]
        self.process = subprocess.Popen(ask, stdout=subprocess.PIPE, text=True) if card() else None
        return self

    def __exit__(self, *_):
        self.busy = self.most_mib = None
        if self.process:
            self.process.terminate()
            rows = [line.split(",") for line in self.process.communicate()[0].splitlines() if line.count(",") == 1]
            busy = [float(row[0]) for row in rows]
            self.busy = sum(busy) / len(busy) / 100 if busy else None
            self.most_mib = max((float(row[1]) for row in rows), default=None)


class Report:
    """Rows with a verdict each. A row that cannot be measured does not end the others."""

    def __init__(self, what, device, minutes):
        self.facts = {"what": what, "device": device, "card": card(), "cpu": processor(), "cores": os.cpu_count(),
                      "commit": built.COMMIT, "torch": built.TORCH, "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())}
        self.rows, self.begun, self.end = [], time.monotonic(), time.monotonic() + 60 * minutes

    def row(self, name, verdict, said, seconds=0.0, figures=None):
        self.rows.append({"row": name, "verdict": verdict, "said": said, "seconds": round(seconds, 1), "figures": figures or {}})
        print(f"{verdict:7} {name:44} {said}", flush=True)

    def measure(self, name, work):
        """`work` gives (whether it is as it should be, what was measured, figures)."""
        begun = time.monotonic()
        if begun > self.end:
            return self.row(name, "not run", "no time left")
        try:
            good, said, figures = work()
            verdict = "ok" if good else "WRONG"
        except Skipped as reason:
            verdict, said, figures = "skipped", str(reason), {}
        except Exception as error:  # noqa: BLE001
            verdict, said, figures = "FAILED", str(error), {}
        return self.row(name, verdict, said, time.monotonic() - begun, figures)

    def close(self, path):
        """The table, the file, and the exit code."""
        verdicts = [row["verdict"] for row in self.rows]
        print(f"\n{self.facts['what']} on {self.facts['device']} {self.facts['card'] or self.facts['cpu']}, torch {built.TORCH}, "
              f"commit {built.COMMIT}, {time.monotonic() - self.begun:.0f} s")
        for row in self.rows:
            print(f"| {row['row']:44} | {row['verdict']:7} | {row['seconds']:6.1f} s | {row['said'].splitlines()[0][:110]} |")
        print("; ".join(f"{verdicts.count(v)} {v}" for v in sorted(set(verdicts))))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**self.facts, "rows": self.rows}, indent=1) + "\n")
        print(f"all figures: {path}")
        return 1 if {"WRONG", "FAILED"} & set(verdicts) else 0


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()
