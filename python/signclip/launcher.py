"""Starts the programs of this wheel with the libtorch of this environment's own torch, which it does not import."""

from __future__ import annotations

import os
import sys

from .built import COMMIT, TORCH, VERSION

# As type checkers understand it; importing typing would be a third of the launcher's time.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = ("extract", "train", "evaluate", "translate", "ablate", "train-language", "render-corpus")
# Commands of `extract` that are not about extraction alone.
OF_EXTRACT = ("doctor", "fetch", "status", "convert")

HELP = f"""SignClip {VERSION}: sign-language video in, spoken-language text out.

Usage: signclip COMMAND ...

  extract         clips in, cached features out
  train           learn from features
  evaluate        translate a split, score it, report on it
  translate       one video to text
  ablate          a table of configurations
  train-language  a small language model from sentences alone
  doctor          what this machine has, what is missing, where things are looked for
  fetch           download weight files
  status          what is done in a store
  convert         an official .pt or .pth file to safetensors
  demo            the whole job on a rendered corpus: signclip demo [FOLDER]

signclip COMMAND --help says more; signclip --version says what it is made of."""


def refuse(problem: str, remedy: str) -> NoReturn:
    print(f"error: {problem}; {remedy}", file=sys.stderr)
    sys.exit(2)


def torch_folder() -> str:
    """The folder of the torch that belongs to this wheel. Ends the program where there is none of the right version."""
    folder = os.path.join(os.path.dirname(HERE), "torch")
    if not os.path.isdir(folder):
        # In another folder of packages: the user's own, conda's, or the system's.
        import importlib.util

        spec = importlib.util.find_spec("torch")
        places = spec.submodule_search_locations if spec else None
        if not places:
            refuse(f"signclip {VERSION} needs torch {TORCH}, and {sys.executable} has none", f"pip install torch=={TORCH}")
        folder = places[0]
    version = "of unknown version"
    try:
        with open(os.path.join(folder, "version.py"), encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("__version__ = "):
                    version = line.split("=", 1)[1].strip().strip("'\"")
    except OSError:
        pass
    # What follows a plus names the build, as +cu130 or +cpu.
    if version.split("+")[0] != TORCH:
        refuse(
            f"signclip {VERSION} is built for torch {TORCH}, and this environment has torch {version} in {folder}",
            f"pip install torch=={TORCH}, or install the signclip wheel that is made for this torch",
        )
    return folder


def environment() -> dict[str, str]:
    """This process's variables, and where the loader finds what the programs' own rpath does not."""
    torch = torch_folder()
    packages = os.path.dirname(torch)
    folders = []
    if packages != os.path.dirname(HERE):
        folders.append(os.path.join(torch, "lib"))
    # torch looks for the nvidia wheels beside itself.
    if not os.path.isdir(os.path.join(packages, "nvidia")):
        for place in sys.path:
            nvidia = os.path.join(place, "nvidia")
            if os.path.isdir(nvidia):
                folders += sorted(os.path.join(nvidia, part, "lib") for part in os.listdir(nvidia))
    variables = dict(os.environ)
    if folders:
        before = variables.get("LD_LIBRARY_PATH")
        variables["LD_LIBRARY_PATH"] = ":".join(folders + ([before] if before else []))
    return variables


def start(program: str, arguments: list[str]) -> NoReturn:
    """Become the program."""
    path = os.path.join(HERE, "bin", program)
    try:
        os.execve(path, [program, *arguments], environment())
    except OSError as error:
        refuse(f"{path}: {error.strerror}", "install the wheel again, on a file system that may hold programs")


def demo(arguments: list[str]) -> NoReturn:
    """Render, extract, train, report: the steps are a script, which calls `signclip` again."""
    if len(arguments) > 1 or any(argument.startswith("-") for argument in arguments):
        print("Usage: signclip demo [FOLDER]    (default: demo)", file=sys.stderr)
        sys.exit(0 if arguments in (["--help"], ["-h"]) else 2)
    variables = environment()
    variables["PATH"] = os.path.dirname(os.path.abspath(sys.argv[0])) + ":" + variables.get("PATH", "")
    script = os.path.join(HERE, "demo.sh")
    os.execvpe("bash", ["bash", script, "signclip ", *(arguments or ["demo"])], variables)


def signclip() -> NoReturn:
    command, *arguments = sys.argv[1:] or ["--help"]
    if command in PROGRAMS:
        start(command, arguments)
    if command in OF_EXTRACT:
        start("extract", [command, *arguments])
    if command == "demo":
        demo(arguments)
    if command in ("--version", "-V"):
        print(f"signclip {VERSION} (commit {COMMIT}), for torch {TORCH}", flush=True)
        start("extract", ["--version"])
    if command in ("--help", "-h", "help"):
        print(HELP)
        sys.exit(0)
    refuse(f"signclip has no command {command!r}", "signclip --help lists them")


def extract() -> NoReturn:
    start("extract", sys.argv[1:])


def train() -> NoReturn:
    start("train", sys.argv[1:])


def evaluate() -> NoReturn:
    start("evaluate", sys.argv[1:])


def translate() -> NoReturn:
    start("translate", sys.argv[1:])


def ablate() -> NoReturn:
    start("ablate", sys.argv[1:])
