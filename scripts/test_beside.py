"""All tests beside another torch, in a copy of the sources: test_beside.py torch=2.11"""
import subprocess
import sys

import wheel


def main(arguments):
    known = {f"torch={torch}": torch for torch, (_, tch) in wheel.TORCH.items() if tch is not None}
    if len(arguments) != 1 or arguments[0] not in known:
        raise wheel.Failed(f"usage: {' or '.join(known)}")
    torch = known[arguments[0]]
    folder = wheel.sources(torch, wheel.TORCH[torch][1])
    variables = wheel.environment(folder)
    # The copy has no ../shared of its own.
    for variable, part in (("SIGNCLIP_GOLDEN", "golden"), ("SIGNCLIP_TEST_DATA", "data")):
        there = wheel.ROOT.parent / "shared" / part
        if there.is_dir():
            variables.setdefault(variable, str(there))
    for command in (["build", "--bins"], ["test", "--tests", "--no-fail-fast"]):
        done = subprocess.run(["cargo", *command, "--release", "--workspace"], cwd=folder, env=variables)
        if done.returncode:
            sys.exit(done.returncode)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except wheel.Failed as failure:
        print(f"test-beside: {failure}", file=sys.stderr)
        sys.exit(2)
