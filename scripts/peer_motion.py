"""Time VideoMAE-Large of transformers on the windows of a clip, as SpaMo's script takes them (random weights, official shapes).

    peer_motion.py VIDEO FRAMES float32|bfloat16

Prints one JSON object. Loading and decoding are not in the time; the image processor is.
"""
import json
import sys
import time

import av
import torch
from transformers import VideoMAEConfig, VideoMAEImageProcessor, VideoMAEModel

video, count, dtype = sys.argv[1], int(sys.argv[2]), getattr(torch, sys.argv[3])
torch.manual_seed(0)
config = VideoMAEConfig(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096)
model = VideoMAEModel(config).eval().to(dtype)
processor = VideoMAEImageProcessor(size={"shortest_edge": 224}, crop_size={"height": 224, "width": 224})
frames = []
with av.open(video) as box:
    for frame in box.decode(video=0):
        frames.append(frame.to_image())
        if len(frames) == count:
            break
assert len(frames) == count, f"{video} has {len(frames)} frames"


@torch.no_grad()
def features(frames):
    windows = [frames[begin:begin + 16] for begin in range(0, len(frames) - 15, 8)]
    pixels = processor(images=windows, return_tensors="pt")["pixel_values"].to(dtype)
    return model(pixel_values=pixels).last_hidden_state[:, 0]


features(frames[:16])
begun = time.perf_counter()
rows = features(frames)
seconds = time.perf_counter() - begun
print(json.dumps({"windows": len(rows), "seconds": seconds, "seconds_per_window": seconds / len(rows),
                  "attention": model.config._attn_implementation, "threads": torch.get_num_threads()}))
