#!/usr/bin/env python3
"""Run the job script of docs/cluster.md on a real Slurm of two nodes on this machine, and compare with one process.

    check_slurm.py FOLDER_OF_PROGRAMS

Starts munged, slurmctld and two slurmd (Debian: apt-get install slurm-wlm munge) with files of its own below a
temporary folder, submits the script as a job of two nodes and as a job array, cancels a job half-way and submits it
again, and ends everything it started. Skipped, with the reason, where that cannot run. Exit code 1: something differs.
"""

import getpass
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
NODES = ("sign1", "sign2")
PATIENCE = 300  # seconds a job may take


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(0)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Cluster:
    """munged, slurmctld and one slurmd a node, ended when left."""

    def __init__(self, place):
        self.place = place
        self.running = []
        host = socket.gethostname().split(".")[0]
        cores = os.cpu_count() or 1
        (place / "state").mkdir()
        key = place / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        self.munge = place / "munge.socket"
        nodes = "\n".join(
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={free_port()} CPUs={cores} State=UNKNOWN"
            for node in NODES
        )
        self.conf = place / "slurm.conf"
        self.conf.write_text(
            f"""ClusterName=signclip
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={free_port()}
SlurmUser={getpass.getuser()}
SlurmdUser={getpass.getuser()}
AuthType=auth/munge
AuthInfo=socket={self.munge}
CredType=cred/munge
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool-%n
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd-%n.pid
SlurmctldLogFile={place}/slurmctld.log
SlurmdLogFile={place}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/builtin
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
KillWait=30
InactiveLimit=0
{nodes}
PartitionName=all Nodes={",".join(NODES)} Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
"""
        )
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_"))}
        self.environment["SLURM_CONF"] = str(self.conf)

    def __enter__(self):
        place = self.place
        try:
            self.start(
                "munged", "--foreground", "--force", f"--socket={self.munge}", f"--key-file={place}/munge.key",
                f"--pid-file={place}/munge.pid", f"--log-file={place}/munge.log", f"--seed-file={place}/munge.seed",
            )
            self.wait_for(self.munge.exists, "munged does not open its socket", 10)
            self.start("slurmctld", "-D", "-f", str(self.conf))
            for node in NODES:
                (place / f"spool-{node}").mkdir()
                self.start("slurmd", "-D", "-N", node, "-f", str(self.conf))
            idle = lambda: self.ask("sinfo", "-h", "-N", "-o", "%T").split() == ["idle"] * len(NODES)
            self.wait_for(idle, "the nodes do not come up", 60)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.running):
            process.terminate()
        for process in self.running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start(self, *command):
        log = open(self.place / f"{command[0]}-{len(self.running)}.out", "wb")
        # Daemons live in sbin, which may not be on a user's PATH.
        program = shutil.which(command[0]) or f"/usr/sbin/{command[0]}"
        process = subprocess.Popen([program, *command[1:]], env=self.environment, stdout=log, stderr=log)
        self.running.append(process)

    def ask(self, *command):
        return subprocess.run(command, env=self.environment, capture_output=True, text=True).stdout

    def wait_for(self, ready, problem, patience):
        begun = time.monotonic()
        while not ready():
            ended = [p for p in self.running if p.poll() is not None]
            if ended or time.monotonic() - begun > patience:
                raise RuntimeError(f"{problem}{self.last_words()}")
            time.sleep(0.2)

    def last_words(self):
        words = ""
        for log in sorted([*self.place.glob("*.log"), *self.place.glob("*.out")]):
            lines = log.read_text(errors="replace").splitlines()[-4:]
            words += "".join(f"\n  {log.name}: {line}" for line in lines)
        return words

    def submit(self, script, variables, *options):
        """The number of the job."""
        line = ["sbatch", "--parsable", f"--chdir={self.place}", f"--output={self.place}/job-%j.out", *options, str(script)]
        done = subprocess.run(line, env={**self.environment, **variables}, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(line)}: {done.stderr.strip()}")
        return done.stdout.strip()

    def states(self, job):
        return self.ask("scontrol", "show", "job", job)

    def end_of(self, job):
        """Wait for the end of a job with all its array tasks; their states."""
        over = lambda: not re.search(r"JobState=(PENDING|CONFIGURING|RUNNING|COMPLETING|SUSPENDED)", self.states(job))
        begun = time.monotonic()
        while not over():
            if time.monotonic() - begun > PATIENCE:
                raise RuntimeError(f"job {job} does not end:\n{self.states(job)}{self.last_words()}")
            time.sleep(0.3)
        return re.findall(r"JobState=(\w+)", self.states(job))


def script_of_the_manual(place):
    """The extraction script in docs/cluster.md."""
    text = (REPOSITORY / "docs/cluster.md").read_text()
    block = re.search(r"^```bash\n(#!/bin/bash\n#SBATCH --job-name=extract\n.*?)^```", text, re.DOTALL | re.MULTILINE)
    script = place / "extract.sbatch"
    # The nodes of this cluster have no GPUs.
    script.write_text(re.sub(r"#SBATCH --gpus.*\n", "", block.group(1)))
    return script


def clips(store):
    """Bytes of each clip's rows by id, and the ranks that have clips."""
    found, ranks = {}, set()
    streams = json.loads((store / "store.json").read_text())["streams"]
    for index in sorted(store.glob("clips-*.jsonl")):
        rank = index.stem.removeprefix("clips-")
        for line in index.read_text().splitlines():
            clip = json.loads(line)
            assert clip["id"] not in found, f"{clip['id']} twice"
            ranks.add(int(rank))
            found[clip["id"]] = b"".join(
                (store / f"{name}-{rank}-{clip['shard']:05}.npy").read_bytes()[128:][
                    2 * info["dim"] * rows["offset"] : 2 * info["dim"] * (rows["offset"] + rows["rows"])
                ]
                for name, info in sorted(streams.items())
                for rows in [clip["streams"][name]]
            )
    return found, ranks


def main():
    programs = Path(sys.argv[1]).resolve()
    for program in ("munged", "slurmctld", "slurmd", "sbatch", "srun"):
        if not (shutil.which(program) or Path("/usr/sbin", program).is_file()):
            skip(f"no {program} here (Debian: apt-get install slurm-wlm munge)")
    if os.getuid() != 0:
        skip("slurmd starts jobs as root only")
    with tempfile.TemporaryDirectory(prefix="signclip-slurm-") as folder:
        place = Path(folder)
        place.chmod(0o755)
        corpus = place / "corpus"
        run = lambda *line: subprocess.run([str(part) for part in line], check=True, capture_output=True)
        run(programs / "render-corpus", "--out", corpus, "--layout", "phoenix", "--clips", "32")
        arguments = f"--dataset phoenix --root {corpus} --landmarks {corpus}/landmarks --preset tiny --gpus cpu --split train"
        run(programs / "extract", *arguments.split(), "--out", place / "alone")
        alone, _ = clips(place / "alone/train")
        script = script_of_the_manual(place)
        try:
            cluster = Cluster(place).__enter__()
        except RuntimeError as problem:
            skip(f"Slurm does not start here: {problem}")
        try:
            check(cluster, script, programs, arguments, alone, place)
        finally:
            cluster.__exit__()
    print("every clip of every job has the payload that one process gives")


def check(cluster, script, programs, arguments, alone, place):
    def variables(out):
        return {"EXTRACT": str(programs / "extract"), "ARGUMENTS": f"{arguments} --out {place / out}"}

    def compare(out, ranks, what):
        found, by = clips(place / out / "train")
        if found != alone or by != ranks:
            sys.exit(f"{what}: {len(found)} clips of ranks {by}, {len(alone)} wanted of {ranks}{cluster.last_words()}")
        subprocess.run([str(programs / "extract"), "--verify", "--out", str(place / out)], check=True, capture_output=True)
        print(f"{what}: {len(found)} clips of ranks {sorted(by)} equal")

    tasks = ("--nodes=2", "--ntasks=2", "--ntasks-per-node=1", "--cpus-per-task=1")
    states = cluster.end_of(cluster.submit(script, variables("two"), *tasks))
    progress = [json.loads(p.read_text()) for p in sorted((place / "two/train").glob("progress-*.json"))]
    print(f"two nodes: {states}, {[(p['rank'], p['world'], p['state']) for p in progress]}")
    compare("two", {0, 1}, "two nodes")

    array = ("--nodes=1", "--ntasks=1", "--cpus-per-task=1", "--array=0-2")
    states = cluster.end_of(cluster.submit(script, variables("array"), *array))
    compare("array", {0, 1, 2}, f"job array {states}")

    # One rank is killed, the whole job cancelled; the same job once more finishes it.
    job = cluster.submit(script, variables("again"), *tasks)
    victim = place / "again/train/progress-00001.json"
    index = place / "again/train/clips-00001.jsonl"
    begun = time.monotonic()
    while not (victim.exists() and index.exists() and index.read_bytes()):
        if time.monotonic() - begun > PATIENCE:
            sys.exit(f"no clip of rank 1{cluster.last_words()}")
        time.sleep(0.005)
    os.kill(json.loads(victim.read_text())["pid"], signal.SIGKILL)
    cluster.ask("scancel", "--signal=TERM", job)
    states = cluster.end_of(job)
    left = len(alone) - len(clips(place / "again/train")[0])
    print(f"killed and cancelled: {states}, {left} of {len(alone)} clips missing")
    if not left:
        print("  (the signals came too late to show anything)")
    cluster.end_of(cluster.submit(script, variables("again"), *tasks))
    compare("again", {0, 1}, "submitted again")


main()
