"""Times CLIP ViT-L/14 of transformers with S² as SpaMo's script calls it (random weights, official shapes): batches of 32 frames, or
of as many as are asked for. Pixels are on the device before the time begins; the features are fetched.

    peer_clip.py --device 0 --frames 256 --batch 32 --dtype bfloat16
"""

import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F
from transformers import CLIPVisionConfig, CLIPVisionModel

parser = argparse.ArgumentParser()
parser.add_argument("--device", default="0")
parser.add_argument("--frames", type=int, default=256)
parser.add_argument("--batch", type=int, default=32)
parser.add_argument("--turns", type=int, default=5)
parser.add_argument("--dtype", default="bfloat16")
a = parser.parse_args()
device, dtype = torch.device("cpu" if a.device == "cpu" else f"cuda:{a.device}"), getattr(torch, a.dtype)
torch.manual_seed(0)
config = CLIPVisionConfig(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, image_size=224,
                          patch_size=14, projection_dim=768)
config._attn_implementation = "sdpa"
clip = CLIPVisionModel(config).eval().to(device, dtype)
pixels = torch.randn(a.frames, 3, 224, 224, device=device)


@torch.no_grad()
def spatial():
    out = []
    for x in pixels.split(a.batch):
        big = F.interpolate(x, size=448, mode="bicubic").to(dtype)
        tiles = torch.cat([big[:, :, r:r + 224, c:c + 224] for r in (0, 224) for c in (0, 224)])
        low = clip(pixel_values=x.to(dtype)).last_hidden_state[:, 0]
        high = clip(pixel_values=tiles).last_hidden_state[:, 0].reshape(4, len(x), -1).mean(0)
        out.append(torch.cat([low, high], -1).float().cpu())
    return torch.cat(out)


spatial()
times = []
for _ in range(a.turns):
    begun = time.perf_counter()
    spatial()
    times.append(time.perf_counter() - begun)
print(json.dumps({"frames": a.frames, "batch": a.batch, "dtype": a.dtype, "seconds_per_frame": statistics.median(times) / a.frames}))
