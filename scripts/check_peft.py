"""Adapters between SignClip and Hugging Face PEFT, both ways, on a small T5 of random weights.

Run by `just check-peft` in the environment that scripts/python_env.sh makes. In float32 all logits must agree to 1e-4.
"""
import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import peft
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import T5Config, T5ForConditionalGeneration

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
warnings.filterwarnings("ignore")
PROGRAM = Path(sys.argv[1])
TOLERANCE = 1e-4
failures = []


def ours(command, **paths):
    subprocess.run([PROGRAM, command, *[x for name, path in paths.items() for x in (f"--{name}", str(path))]], check=True)


def check(what, got, want):
    gap = (got - want).abs().max().item()
    print(f"{what:66} max |difference| {gap:.1e}")
    if not gap <= TOLERANCE:
        failures.append(what)


def base_model(folder, own_head):
    """A T5 as transformers writes it: with its output layer tied to the embeddings, or with one of its own."""
    torch.manual_seed(0)
    config = T5Config(vocab_size=256, d_model=64, d_ff=128, d_kv=16, num_layers=3, num_heads=4, feed_forward_proj="gated-gelu",
                      tie_word_embeddings=False, decoder_start_token_id=0)
    model = T5ForConditionalGeneration(config)
    if own_head:
        model.config.tie_word_embeddings = False
        model.lm_head.weight = torch.nn.Parameter(torch.randn(256, 64) * 0.1)
    model.save_pretrained(folder)


def load(folder):
    return T5ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()


def batch(file):
    torch.manual_seed(1)
    mask = torch.ones(2, 11, dtype=torch.int64)
    mask[1, 7:] = 0
    labels = torch.randint(2, 256, (2, 6))
    tensors = {"inputs_embeds": torch.randn(2, 11, 64), "attention_mask": mask, "labels": labels}
    save_file(tensors, file)
    return tensors


def theirs(model, tensors):
    # Without a mask of the targets, as ours: nothing that counts can see padding behind it.
    start = torch.zeros(2, 1, dtype=torch.int64)
    ids = torch.cat([start, tensors["labels"][:, :-1]], 1)
    with torch.no_grad():
        return model(inputs_embeds=tensors["inputs_embeds"], attention_mask=tensors["attention_mask"], decoder_input_ids=ids).logits


def randomise(model):
    torch.manual_seed(2)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.1)


print(f"transformers {transformers.__version__}, peft {peft.__version__}, torch {torch.__version__}")


def both_ways(at, own_head):
    print("a base model with an output layer of its own" if own_head else "a base model with tied embeddings")
    base_model(at / "base", own_head)
    tensors = batch(at / "batch.safetensors")
    plain = theirs(load(at / "base"), tensors)

    # Ours, read by PEFT; and merged by us, read by transformers.
    for name, more in [("list", {}), ("expression", {"targets": r"(?!.*EncDecAttention).*\.(q|k|wi_1|wo)"})]:
        adapter, logits = at / f"ours_{name}", at / f"ours_{name}.safetensors"
        ours("make", base=at / "base", batch=at / "batch.safetensors", out=adapter, logits=logits, **more)
        want = load_file(logits)["logits"]
        assert (want - plain).abs().max() > 0.1, "the adapter does nothing"
        model = PeftModel.from_pretrained(load(at / "base"), adapter)
        check(f"made here ({name}), read by PEFT", theirs(model, tensors), want)
        check(f"made here ({name}), merged by PEFT", theirs(model.merge_and_unload(), tensors), want)
        ours("merge", base=at / "base", adapter=adapter, out=at / f"merged_{name}")
        check(f"made here ({name}), merged here, read by transformers", theirs(load(at / f"merged_{name}"), tensors), want)

    # PEFT's, read by us.
    for name, config in [
        ("list", dict(r=8, lora_alpha=16, target_modules=["q", "v", "wi_0", "wi_1", "wo"])),
        ("expression", dict(r=4, lora_alpha=6, target_modules=r".*(SelfAttention\.(q|v)|wo)")),
        ("every layer", dict(r=4, lora_alpha=8, target_modules=["q", "k", "v", "o", "wi_0", "wi_1", "wo", "lm_head"])),
        ("rslora", dict(r=9, lora_alpha=6, target_modules=["q", "wo"], use_rslora=True)),
        ("patterns", dict(r=8, lora_alpha=16, target_modules=["q", "v"], rank_pattern={"SelfAttention.q": 2, r".*block\.1\..*v": 3},
                          alpha_pattern={"v": 5})),
    ]:
        model = get_peft_model(load(at / "base"), LoraConfig(task_type="SEQ_2_SEQ_LM", **config)).eval()
        randomise(model)
        want = theirs(model, tensors)
        adapter, logits = at / f"theirs {name}", at / "theirs.safetensors"
        model.save_pretrained(adapter)
        ours("logits", base=at / "base", batch=at / "batch.safetensors", adapter=adapter, logits=logits)
        assert (want - plain).abs().max() > 0.1, "the adapter does nothing"
        check(f"made by PEFT ({name}), read here", load_file(logits)["logits"], want)


for own_head in (True, False):
    with tempfile.TemporaryDirectory() as folder:
        both_ways(Path(folder), own_head)
print(json.dumps({"peft": peft.__version__, "transformers": transformers.__version__, "failures": failures}))
sys.exit(1 if failures else 0)
