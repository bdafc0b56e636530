"""Reading clips in random order: the feature store, one .npy a clip and stream, and one HDF5 file, in one run.

    bench_store.py BENCH

All three hold the same rows and lie in memory (a tmpfs, else the page cache), so that what is compared is the way to the
bytes, not the disk. Python reads as its users do: `numpy.load(path)` and `dataset[...]`. In a second place an index of
35,000 clips is opened: the store's, the HDF5 file's with the shape of every data set, and the headers of as many .npy
files. The last line is one JSON object of medians: `*_gb_per_second`, `*_open_seconds`.
"""
import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import h5py
import numpy

import record

bench = sys.argv[1]
TURNS = int(os.environ.get("SIGNCLIP_BENCH_TURNS", "5"))
CLIPS, FRAMES, INDEXED = 1000, 100, 35_000
STREAMS = ("mouthing", "spatial")
memory = pathlib.Path("/dev/shm")
room = shutil.disk_usage(memory).free if memory.is_dir() else 0
place = pathlib.Path(tempfile.mkdtemp(dir=memory if room > 8 << 30 else "target"))


def ours(*arguments):
    done = subprocess.run([bench, *map(str, arguments)], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def copies(store, name):
    """The store's clips as .npy files and as an HDF5 file."""
    folder = place / name
    folder.mkdir()
    lines = (store / "clips-00000.jsonl").read_text().splitlines()
    payload = {stream: numpy.load(store / f"{stream}-00000-00000.npy", mmap_mode="r") for stream in STREAMS}
    ids = []
    with h5py.File(place / f"{name}.h5", "w") as file:
        for clip in map(json.loads, lines):
            assert clip["shard"] == 0, "the store was meant to have one shard"
            ids.append(clip["id"])
            for stream in STREAMS:
                place = clip["streams"][stream]
                rows = payload[stream][place["offset"]:place["offset"] + place["rows"]]
                numpy.save(folder / f"{clip['id']}.{stream}.npy", rows)
                file.create_dataset(f"{clip['id']}/{stream}", data=rows)
    return ids


def timed(work):
    begun = time.perf_counter()
    done = work()
    return done, time.perf_counter() - begun


def read_npy(ids):
    return sum(numpy.load(place / "read" / f"{clip}.{stream}.npy").nbytes for clip in ids for stream in STREAMS)


def read_hdf5(file, ids):
    return sum(file[f"{clip}/{stream}"][...].nbytes for clip in ids for stream in STREAMS)


def open_npy():
    headers = 0
    for entry in os.scandir(place / "index"):
        headers += numpy.load(entry.path, mmap_mode="r").shape[0]
    return headers


def open_hdf5():
    with h5py.File(place / "index.h5") as file:
        return sum(data.shape[0] for clip in file.values() for data in clip.values())


try:
    ours("write", place / "store", "--clips", CLIPS, "--frames", FRAMES)
    ids = copies(place / "store", "read")
    ours("write", place / "many", "--clips", INDEXED, "--frames", 1)
    copies(place / "many", "index")
    turns = []
    for number in range(TURNS):
        # The first time each of them also maps pages or opens files: it is not counted.
        store = ours("read", place / "store", "--times", 2)
        order = random.Random(number).sample(ids, len(ids))
        read_npy(order)
        npy_bytes, npy = timed(lambda: read_npy(order))
        with h5py.File(place / "read.h5") as file:
            read_hdf5(file, order)
            hdf5_bytes, hdf5 = timed(lambda: read_hdf5(file, order))
        assert store["bytes"] == npy_bytes == hdf5_bytes, "all read the same"
        opened = ours("open", place / "many", "--times", 1)
        assert opened["clips"] == INDEXED
        turn = {"store_gb_per_second": store["bytes"] / store["seconds"][-1] / 1e9,
                "store_first_gb_per_second": store["bytes"] / store["seconds"][0] / 1e9,
                "npy_gb_per_second": npy_bytes / npy / 1e9, "hdf5_gb_per_second": hdf5_bytes / hdf5 / 1e9,
                "store_open_seconds": opened["seconds"][0], "npy_open_seconds": timed(open_npy)[1],
                "hdf5_open_seconds": timed(open_hdf5)[1]}
        turns.append(turn)
        print(f"turn {number + 1}: " + ", ".join(f"{name} {value:.3g}" for name, value in turn.items()), flush=True)
finally:
    shutil.rmtree(place)

result = {name: round(statistics.median(turn[name] for turn in turns), 3) for name in turns[0]}
report = {"clips": CLIPS, "frames": FRAMES, "indexed": INDEXED, "memory": place.parent == memory, "turns": turns, "result": result}
path = record.write("store", report, "just bench-store", ("numpy", "h5py"))
print(f"all turns: {path}")
print(json.dumps(result))
