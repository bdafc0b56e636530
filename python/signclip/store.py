"""Reads a store of features, as cache/README.md of the project specifies it. Needs NumPy; a store is never changed.

    from signclip.store import Store
    for clip in Store("cache/phoenix/train"):
        print(clip.id, clip["spatial"].shape, clip.text)

`StoreDataset` is the same for PyTorch's DataLoader.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

HEADER = 128  # bytes before the first row of a shard
FORMATS = (1, 2)


class StoreError(ValueError):
    """A store that does not follow its specification. Names the file."""


@dataclass(frozen=True)
class Clip:
    """One line of the index. `clip[stream]` is a float16 or float32 array of [rows, dim], mapped from the disk."""

    store: Store
    rank: str
    id: str
    text: str | None
    frames: int
    shard: int
    places: dict[str, tuple[int, int]]  # by stream: first row in the shard, number of rows
    line: dict[str, Any]  # all that the index says

    def __getitem__(self, stream: str) -> np.ndarray:
        if stream not in self.places:
            raise KeyError(f"{self.store.folder} has no stream {stream!r}; it has {', '.join(self.store.streams)}")
        offset, rows = self.places[stream]
        shard = self.store.shard(stream, self.rank, self.shard)
        if offset + rows > len(shard):
            raise StoreError(f"{self.store.folder}: the {stream} shard of clip {self.id!r} is too short; run extract --verify")
        return shard[offset : offset + rows]


class Store:
    """The clips of one split (`cache/phoenix/train`) in the order of their ids, as `train` has them."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        description = self.folder / "store.json"
        self.info: dict[str, Any] = json.loads(description.read_text(encoding="utf-8"))
        if self.info["format"] not in FORMATS:
            raise StoreError(f"{description} has format {self.info['format']}; this reader knows {FORMATS}")
        self.dtype = np.dtype(self.info["dtype"])
        self._shards: dict[tuple[str, str, int], np.ndarray] = {}

    @property
    def streams(self) -> list[str]:
        """Names of the streams."""
        return list(self.info["streams"])

    def dim(self, stream: str) -> int:
        """Columns of a stream."""
        return int(self.info["streams"][stream]["dim"])

    def _clip(self, rank: str, line: dict[str, Any]) -> Clip:
        if self.info["format"] == 1:  # a row for each frame, at the same place in all streams
            places = dict.fromkeys(self.streams, (line["offset"], line["frames"]))
        else:
            places = {stream: (place["offset"], place["rows"]) for stream, place in line["streams"].items()}
        return Clip(self, rank, line["id"], line["text"], line["frames"], line["shard"], places, line)

    @cached_property
    def clips(self) -> list[Clip]:
        """Every clip that is in the index now. Later ones are in a new `Store`."""
        clips: dict[str, Clip] = {}
        for index in sorted(self.folder.glob("clips-*.jsonl")):
            # What follows the last line end is not part of the index.
            for number, line in enumerate(index.read_bytes().split(b"\n")[:-1], 1):
                try:
                    clip = self._clip(index.stem.removeprefix("clips-"), json.loads(line))
                except (ValueError, KeyError) as error:
                    raise StoreError(f"{index}, line {number}: {error!r}") from None
                if clip.id in clips:
                    raise StoreError(f"{index}, line {number}: clip {clip.id!r} occurs twice; run extract --verify")
                clips[clip.id] = clip
        return [clips[id] for id in sorted(clips)]

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> Clip:
        return self.clips[index]

    def __iter__(self) -> Iterator[Clip]:
        return iter(self.clips)

    def shard(self, stream: str, rank: str, number: int) -> np.ndarray:
        """All rows that a shard has now, mapped from the disk: the row count in its header may lag behind the index."""
        key = (stream, rank, number)
        if key not in self._shards:
            path = self.folder / f"{stream}-{rank}-{number:05}.npy"
            rows = (path.stat().st_size - HEADER) // (self.dim(stream) * self.dtype.itemsize)
            self._shards[key] = np.memmap(path, self.dtype, "r", HEADER, (rows, self.dim(stream)))
        return self._shards[key]

    def __getstate__(self) -> dict[str, Any]:
        """Worker processes map the shards themselves."""
        return {**self.__dict__, "_shards": {}}



class StoreDataset:
    """A map-style dataset for PyTorch's DataLoader: `{"id", "text", "<stream>": float tensor of [rows, dim], ...}`.

    Importing this module does not import torch; taking a clip does.
    """

    def __init__(self, folder: str | Path, streams: Sequence[str] | None = None) -> None:
        self.store = Store(folder)
        self.streams = list(streams or self.store.streams)

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, index: int) -> dict[str, Any]:
        import torch

        clip = self.store[index]
        rows = {stream: torch.from_numpy(clip[stream].astype(np.float32)) for stream in self.streams}
        return {"id": clip.id, "text": clip.text, **rows}
