"""Run the commands of README and docs, on the demo's corpus; check the flags of those that need data that is not here.

    check_docs.py JUST PROGRAMS DEMO

JUST: the program just. PROGRAMS: the folder with ours. DEMO: the folder that `just demo` made. A page is a list of blocks: ```sh is run, in one folder
for each page, with a copy of DEMO in it; ```sh,needs-data has its flags checked; ```sh,demo is what made DEMO. Recipes and flags named in
the text must exist. Exits with 1 and names each fault by page and line.
"""
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

just, programs, demo = (pathlib.Path(argument).resolve() for argument in sys.argv[1:4])
root = pathlib.Path(__file__).resolve().parent.parent
OURS = ["extract", "train", "train-language", "evaluate", "translate", "ablate", "render-corpus"]
# Flags of other programs that the pages speak of (Slurm, MPI, apt, cargo, FFmpeg's configure, the authors' script, the bundle for a GPU), and a hidden
# one of ours.
OTHERS = set("""--device --batch-size --disable-network --enable-gpl --enable-libdav1d --enable-zlib --write-manuals
    --signal --gpus-per-node --gpus-per-task --array --nodes --export --hostfile --bind-to --mpi --no-install-recommends
    --release --workspace --bins --features --logdir --help --version --kill-on-bad-exit""".split())
faults = []


def blocks(page):
    """(line, kind, text) of each fenced block."""
    found = re.finditer(r"^```(\S*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [(page[: block.start()].count("\n") + 1, block[1], block[2]) for block in found]


def commands(text):
    """Lines that call a program of ours, continued ones joined, without comments and what follows a pipe."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words and pathlib.Path(words[0]).name in OURS:
            yield [pathlib.Path(words[0]).name, *words[1:]]


def run(command, **more):
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    return subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment, **more)


def last_line(done):
    return (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]


def helps():
    """Everything that `--help` says, of subcommands too."""
    told = ""
    for program in OURS:
        own = run([programs / program, "--help"]).stdout
        names = re.findall(r"^  ([a-z]+)  ", own.split("Options:")[0], re.MULTILINE)
        told += own + "".join(run([programs / program, name, "--help"]).stdout for name in names if name != "help")
    return set(re.findall(r"--[a-z][a-z0-9-]+", told))


flags, recipes = helps(), set(run([just, "--summary"], cwd=root).stdout.split())
pages = [root / "README.md", *sorted((root / "docs").glob("*.md"))]
counts = {"run": 0, "flags checked": 0}
for page in pages:
    text, name = page.read_text(), page.relative_to(root)
    for line, words in enumerate(text.splitlines(), 1):
        faults += [f"{name}:{line}: no recipe {recipe}" for recipe in re.findall(r"`(?:\./)?justw? ([a-z][a-z0-9-]*)", words) if recipe not in recipes]
        spans = " ".join(re.findall(r"`([^`]+)`", words))
        unknown = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", spans)) - flags - OTHERS
        faults += [f"{name}:{line}: no program has {flag}" for flag in sorted(unknown)]
    with tempfile.TemporaryDirectory(dir=root / "target") as place:
        for line, kind, block in blocks(text):
            if kind == "sh":
                if not pathlib.Path(place, "demo").exists():
                    shutil.copytree(demo, pathlib.Path(place, "demo"))
                done = run(["bash", "-euo", "pipefail", "-c", block], cwd=place)
                counts["run"] += 1
                print(f"{name}:{line}: run, {done.returncode}", flush=True)
                if done.returncode:
                    faults.append(f"{name}:{line}: exit code {done.returncode}: {last_line(done)}")
            elif kind == "sh,needs-data":
                for command in commands(block):
                    done = run([*command, "--help"])
                    counts["flags checked"] += 1
                    if done.returncode:
                        faults.append(f"{name}:{line}: {shlex.join(command)}: {last_line(done)}")
print(*faults, sep="\n", file=sys.stderr)
print(", ".join(f"{count} {what}" for what, count in counts.items()) + f", {len(faults)} faults")
sys.exit(bool(faults))
