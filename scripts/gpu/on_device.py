"""Runs a peer that names no device on one: on_device.py DEVICE PEER ARGUMENTS...

Everything that it makes is made there; its own clock stops at a value that it fetches.
"""

import runpy
import sys

import torch

device, peer, *arguments = sys.argv[1:]
torch.set_default_device("cpu" if device == "cpu" else f"cuda:{device}")
sys.path.insert(0, peer.rsplit("/", 1)[0])
sys.argv = [peer, *arguments]
runpy.run_path(peer, run_name="__main__")
