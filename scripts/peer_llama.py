"""A Llama of about 200 million random parameters by transformers and PEFT, as their users run it: what `bench.py` compares with.

    peer_llama.py train|generate [--dtype bfloat16]

Training has the visual head (gated fusion, temporal convolution, projector), both contrastive losses, LoRA and AdamW; the
sequence is [visual tokens ; sentence]. One JSON object is printed.
"""
import argparse
import json
import resource
import time

import torch
import torch.nn as nn
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

parser = argparse.ArgumentParser()
parser.add_argument("what", choices=["train", "generate"])
parser.add_argument("--dtype", default="bfloat16", choices=["float32", "bfloat16"])
args = parser.parse_args()
BATCH, VISUAL, TEXT, BEAMS, NEW, REPEAT = 4, 120, 32, 5, 30, 3
dtype = getattr(torch, args.dtype)


def llama():
    """The shape of `LlamaConfig::small`."""
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    rope = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192}
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=32000, hidden_size=1024, intermediate_size=2816, num_hidden_layers=16, num_attention_heads=16,
        num_key_value_heads=8, rms_norm_eps=1e-5, tie_word_embeddings=True, rope_parameters=rope))
    torch.set_default_dtype(torch.float32)
    return model


class Head(nn.Module):
    def __init__(self, width, d=1024):
        super().__init__()
        self.s, self.m = nn.Linear(2048, d), nn.Linear(1024, d)
        self.gate = nn.Sequential(nn.Linear(2 * d, d), nn.GELU(), nn.Linear(d, d), nn.Sigmoid())
        layers = lambda: [nn.Conv1d(d, d, 5), nn.BatchNorm1d(d), nn.ReLU(), nn.MaxPool1d(2)]
        self.conv = nn.Sequential(*layers(), *layers())
        self.out = nn.Sequential(nn.Linear(d, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, zs, zm):
        s, m = self.s(zs), self.m(zm)
        g = self.gate(torch.cat([s, m], -1))
        fused = self.conv((g * s + (1 - g) * m).transpose(1, 2)).transpose(1, 2)
        return self.out(fused), s.mean(1), m.mean(1)


def train():
    targets = ["q_proj", "v_proj", "gate_proj", "up_proj", "down_proj"]
    model = get_peft_model(llama(), LoraConfig(r=16, lora_alpha=32, lora_dropout=0.1, target_modules=targets, task_type="CAUSAL_LM"))
    head = Head(1024)
    params = [p for p in [*head.parameters(), *model.parameters()] if p.requires_grad]
    adamw = torch.optim.AdamW(params, lr=1e-4)
    frames = VISUAL * 4 + 12
    zs, zm = torch.randn(BATCH, frames, 2048), torch.randn(BATCH, frames, 1024)
    ids = torch.randint(3, 32000, (BATCH, TEXT))
    labels = torch.cat([torch.full((BATCH, VISUAL), -100), ids], 1)
    same = torch.arange(BATCH)

    def contrast(a, b):
        return F.cross_entropy(F.normalize(a) @ F.normalize(b).T / 0.07, same)

    def step():
        visual, s, m = head(zs, zm)
        embedded = model.get_input_embeddings()(ids)
        loss = model(inputs_embeds=torch.cat([visual.to(dtype), embedded], 1), labels=labels).loss.float()
        loss = loss + contrast(visual.mean(1), embedded.float().mean(1)) + 0.2 * contrast(s, m)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        adamw.step()
        adamw.zero_grad()

    return "seconds_per_step", step


def generate():
    model = llama().eval()
    x = torch.randn(BATCH, VISUAL, 1024).to(dtype)
    mask = torch.ones(BATCH, VISUAL, dtype=torch.int64)

    @torch.no_grad()
    def search():
        model.generate(inputs_embeds=x, attention_mask=mask, num_beams=BEAMS, do_sample=False, min_new_tokens=NEW,
                       max_new_tokens=NEW, pad_token_id=0)

    return "seconds", search


field, run = train() if args.what == "train" else generate()
run()
times = []
for _ in range(REPEAT):
    begun = time.perf_counter()
    run()
    times.append(time.perf_counter() - begun)
print(json.dumps({field: round(sorted(times)[REPEAT // 2], 3), "threads": torch.get_num_threads(),
                  "peak_rss_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)}))
