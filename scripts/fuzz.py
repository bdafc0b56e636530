"""Run every fuzz target for some seconds, as many at a time as there are cores; a table at the end.

Called by `just fuzz SECONDS`. With SIGNCLIP_FUZZ_JOBS more run at a time, and the limit of time for an input grows. What a target crashed on stays in fuzz/artifacts/TARGET/; the seeds and what the fuzzer found
to be new stay in fuzz/corpus/TARGET/.
"""

import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys
import time

SECONDS_AN_INPUT = 10
# Of one allocation. Pictures have up to 8192x8192 pixels of 3 bytes, in two forms at a time; all else is small.
MEBIBYTES = {"jpeg": 512, "png": 512, "container": 512}
MEBIBYTES_OF_OTHERS = 64

cores = os.cpu_count() or 1
jobs = int(os.environ.get("SIGNCLIP_FUZZ_JOBS", cores))
root = pathlib.Path(__file__).resolve().parent.parent
built = root / "fuzz/target/x86_64-unknown-linux-gnu/release"


def run(target, seconds):
    corpus, artifacts = (root / "fuzz" / kind / target for kind in ("corpus", "artifacts"))
    corpus.mkdir(parents=True, exist_ok=True)
    artifacts.mkdir(parents=True, exist_ok=True)
    libraries = f"{root}/.libtorch/lib:{os.environ.get('LD_LIBRARY_PATH', '')}"
    # libtorch and OpenCV are built without the sanitizer, which then takes their containers for wrong.
    options = "detect_leaks=0:detect_odr_violation=0:detect_container_overflow=0:allocator_may_return_null=0"
    command = [
        built / target, corpus, f"-max_total_time={seconds}", f"-timeout={SECONDS_AN_INPUT * max(jobs, cores) // cores}",
        f"-malloc_limit_mb={MEBIBYTES.get(target, MEBIBYTES_OF_OTHERS)}", "-rss_limit_mb=3000", "-print_final_stats=1",
        f"-artifact_prefix={artifacts}/", "-max_len=65536",
    ]
    begun = time.time()
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace",
        env={**os.environ, "LD_LIBRARY_PATH": libraries, "ASAN_OPTIONS": options, "OMP_NUM_THREADS": "1"},
    )
    inputs = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    slowest = re.search(r"slowest_unit_time_sec: (\d+)", done.stderr)
    result = {
        "target": target,
        "inputs": int(inputs[1]) if inputs else 0,
        "seconds": round(time.time() - begun),
        "slowest_seconds": int(slowest[1]) if slowest else None,
        "sound": done.returncode == 0,
    }
    if done.returncode != 0:
        (artifacts / "log.txt").write_text(done.stderr[-20000:])
        why = [line for line in done.stderr.splitlines() if "ERROR: " in line or "panicked at" in line]
        result["why"] = why[0].strip() if why else f"ended with {done.returncode}"
    print(f"{target}: {result['inputs']} inputs, {'sound' if result['sound'] else result['why']}", file=sys.stderr, flush=True)
    return result


def main():
    seconds, targets = int(sys.argv[1]), sys.argv[2:]
    listed = subprocess.run(["cargo", "fuzz", "list"], cwd=root, capture_output=True, text=True, check=True).stdout.split()
    unknown = set(targets) - set(listed)
    if unknown:
        sys.exit(f"no target {', '.join(sorted(unknown))}; there are {', '.join(listed)}")
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        results = list(pool.map(lambda target: run(target, seconds), targets or listed))
    print(f"\n{'target':<24}{'inputs':>12}{'seconds':>9}  outcome")
    for result in results:
        outcome = "sound" if result["sound"] else f"{result['why']} (fuzz/artifacts/{result['target']})"
        print(f"{result['target']:<24}{result['inputs']:>12}{result['seconds']:>9}  {outcome}")
    print(f"{'all':<24}{sum(result['inputs'] for result in results):>12}")
    (root / "fuzz/results.json").write_text(json.dumps(results, indent=2) + "\n")
    sys.exit(any(not result["sound"] for result in results))


main()
