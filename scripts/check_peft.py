"""Adapters between SignClip and Hugging Face PEFT, both ways, on a small T5, a small mT5 and a small Llama of random weights.

Every kind of adapter that PEFT makes is either read as PEFT itself reads it again, and merged as PEFT merges it, or refused
by the name of the field. Run by `just check-peft`. In float32 all logits must agree to 1e-4.
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
from peft.tuners.lora.config import CordaConfig, LoraGAConfig
from safetensors.torch import load_file, save_file
from transformers import (LlamaConfig, LlamaForCausalLM, MT5Config, MT5ForConditionalGeneration, T5Config,
                          T5ForConditionalGeneration)

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
warnings.filterwarnings("ignore")
PROGRAM = Path(sys.argv[1])
TOLERANCE = 1e-4
TOKENS = 20
failures = []


def ours(command, **paths):
    subprocess.run([PROGRAM, command, *[x for name, path in paths.items() for x in (f"--{name}", str(path))]], check=True)


def refused(what, field, folder, at):
    """The adapter in `folder` is not read, in one line that names the field."""
    command = [PROGRAM, "logits", "--base", at / "base", "--batch", at / "batch.safetensors", "--adapter", folder,
               "--logits", at / "refused.safetensors"]
    done = subprocess.run(command, capture_output=True, text=True)
    said = done.stdout.strip()
    ok = done.returncode == 2 and field in said and "\n" not in said
    print(f"{what:66} {'refused' if ok else 'NOT REFUSED'}")
    if not ok:
        failures.append(what)
        print(said)


def check(what, got, want):
    gap = (got - want).abs().max().item()
    print(f"{what:66} max |difference| {gap:.1e}")
    if not gap <= TOLERANCE:
        failures.append(what)


class T5:
    """Encoder and decoder, with an output layer of its own, or one that shares its weight with the embeddings, as T5 1.1 (not
    scaled) or as the first T5 (scaled)."""
    task, heads = "SEQ_2_SEQ_LM", ("own", "tied", "tied and scaled")
    layers = ["q", "v", "wi_0", "wi_1", "wo"]
    every = ["q", "k", "v", "o", "wi_0", "wi_1", "wo", "lm_head"]
    ours = {"expression": r"(?!.*EncDecAttention).*\.(q|k|wi_1|wo)", "output layer": r".*\.q|lm_head"}
    expression, two = r".*(SelfAttention\.(q|v)|wo)", ["q", "v"]
    ranks = {"SelfAttention.q": 2, r".*block\.1\..*v": 3}
    reader = T5ForConditionalGeneration

    @staticmethod
    def model(head):
        config = T5Config(vocab_size=256, d_model=64, d_ff=128, d_kv=16, num_layers=3, num_heads=4,
                          feed_forward_proj="gated-gelu", tie_word_embeddings=head == "tied and scaled",
                          decoder_start_token_id=0)
        model = T5ForConditionalGeneration(config)
        if head == "own":
            model.config.tie_word_embeddings = False
            model.lm_head.weight = torch.nn.Parameter(torch.randn(256, 64) * 0.1)
        return model

    @staticmethod
    def labels(mask):
        return torch.randint(2, 256, (2, 6))

    @staticmethod
    def logits(model, tensors):
        # Without a mask of the targets, as ours: nothing that counts can see padding behind it.
        start = torch.zeros(2, 1, dtype=torch.int64)
        ids = torch.cat([start, tensors["labels"][:, :-1]], 1)
        return model(inputs_embeds=tensors["inputs_embeds"], attention_mask=tensors["attention_mask"], decoder_input_ids=ids).logits


class MT5(T5):
    """T5 under another name. Whatever its configuration says, transformers 5 calls the output layer tied and does not scale."""
    heads, reader = ("own", "tied"), MT5ForConditionalGeneration

    @staticmethod
    def model(head):
        config = MT5Config(vocab_size=256, d_model=64, d_ff=128, d_kv=16, num_layers=3, num_heads=4,
                           decoder_start_token_id=0)
        model = MT5ForConditionalGeneration(config)
        if head == "own":
            model.config.tie_word_embeddings = False
            model.lm_head.weight = torch.nn.Parameter(torch.randn(256, 64) * 0.1)
        return model


class Llama:
    """Decoder alone, with an output layer of its own as 8B, or one that shares its weight with the embeddings as 3B."""
    task, heads = "CAUSAL_LM", ("own", "tied")
    layers = ["q_proj", "v_proj", "gate_proj", "up_proj", "down_proj"]
    every = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "lm_head"]
    ours = {"expression": r"(?!.*layers\.0\.).*\.(q_proj|k_proj|up_proj|down_proj)", "output layer": r".*\.q_proj|lm_head"}
    expression, two = r".*(self_attn\.(q_proj|v_proj)|down_proj)", ["q_proj", "v_proj"]
    ranks = {"self_attn.q_proj": 2, r".*layers\.1\..*v_proj": 3}
    reader = LlamaForCausalLM

    @staticmethod
    def model(head):
        config = LlamaConfig(vocab_size=256, hidden_size=64, intermediate_size=128, num_hidden_layers=3, num_attention_heads=4,
                             num_key_value_heads=2, rms_norm_eps=1e-5, initializer_range=0.1, tie_word_embeddings=head == "tied",
                             rope_parameters={"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
                                              "high_freq_factor": 4.0, "original_max_position_embeddings": 16})
        model = LlamaForCausalLM(config)
        torch.nn.init.normal_(model.lm_head.weight, std=0.1)
        return model

    @staticmethod
    def labels(mask):
        return torch.randint(2, 256, mask.shape).masked_fill(mask == 0, -100)

    @staticmethod
    def logits(model, tensors):
        return model(inputs_embeds=tensors["inputs_embeds"], attention_mask=tensors["attention_mask"]).logits


def base_model(folder, head):
    """The model as transformers writes it."""
    torch.manual_seed(0)
    family.model(head).save_pretrained(folder)


def load(folder):
    return family.reader.from_pretrained(folder, dtype=torch.float32).eval()


def batch(file):
    torch.manual_seed(1)
    mask = torch.ones(2, 11, dtype=torch.int64)
    mask[1, 7:] = 0
    tensors = {"inputs_embeds": torch.randn(2, 11, 64), "attention_mask": mask, "labels": family.labels(mask)}
    save_file(tensors, file)
    return tensors


def counting(logits, tensors):
    """Zeros at positions that are padding."""
    return logits * (tensors["labels"] >= 0)[..., None]


def theirs(model, tensors):
    with torch.no_grad():
        return counting(family.logits(model, tensors), tensors)


def same_text(what, folder, at):
    """Greedy search on the first of the inputs, which has no padding: the same tokens here and in transformers."""
    inputs = load_file(at / "batch.safetensors")["inputs_embeds"][:1]
    with torch.no_grad():
        found = load(folder).generate(inputs_embeds=inputs, attention_mask=torch.ones(1, inputs.shape[1], dtype=torch.int64),
                                      do_sample=False, num_beams=1, max_new_tokens=TOKENS)
    # transformers begins with the start token of a decoder that has an encoder.
    want = found[0].tolist()[int(family.task == "SEQ_2_SEQ_LM"):]
    command = [PROGRAM, "greedy", "--base", folder, "--batch", at / "batch.safetensors", "--tokens", str(TOKENS)]
    got = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    print(f"{what:66} {len(got)} tokens {'equal' if got == want else 'DIFFER'}")
    if got != want:
        failures.append(what)
        print(got, want)


def rewrite(adapter, fields):
    file = adapter / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def shift(model):
    """Train the adapter a little: away from where it began, which is a part of the base model."""
    torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter += torch.randn_like(parameter) * 0.05


def randomise(model):
    torch.manual_seed(2)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.1)


print(f"transformers {transformers.__version__}, peft {peft.__version__}, torch {torch.__version__}")


def both_ways(at, head):
    print(f"a base model whose output layer is {head}")
    base_model(at / "base", head)
    tensors = batch(at / "batch.safetensors")
    plain = theirs(load(at / "base"), tensors)

    # Ours, read by PEFT; and merged by us, read by transformers.
    for name, more in [("list", {}), ("expression", {"targets": family.ours["expression"]}),
                       ("all-linear", {"targets": "all-linear"}), ("output layer", {"targets": family.ours["output layer"]})]:
        adapter, logits = at / f"ours_{name}", at / f"ours_{name}.safetensors"
        ours("make", base=at / "base", batch=at / "batch.safetensors", out=adapter, logits=logits, **more)
        want = counting(load_file(logits)["logits"], tensors)
        assert (want - plain).abs().max() > 0.1, "the adapter does nothing"
        model = PeftModel.from_pretrained(load(at / "base"), adapter)
        check(f"made here ({name}), read by PEFT", theirs(model, tensors), want)
        # PEFT adds the update of an output layer to the embeddings as well, where the two share their weight.
        if name != "output layer" or head == "own":
            check(f"made here ({name}), merged by PEFT", theirs(model.merge_and_unload(), tensors), want)
        ours("merge", base=at / "base", adapter=adapter, out=at / f"merged_{name}")
        check(f"made here ({name}), merged here, read by transformers", theirs(load(at / f"merged_{name}"), tensors), want)
        same_text(f"made here ({name}), merged here, greedy text", at / f"merged_{name}", at)

    def read_and_merged(name, adapter, want):
        """PEFT's own reload is what it had, ours is the same, and so is the model that it is merged into here."""
        again = PeftModel.from_pretrained(load(at / "base"), adapter).eval()
        check(f"made by PEFT ({name}), read by PEFT", theirs(again, tensors), want)
        logits, merged = at / f"theirs {name}.safetensors", at / f"theirs {name} merged"
        ours("logits", base=at / "base", batch=at / "batch.safetensors", adapter=adapter, logits=logits)
        check(f"made by PEFT ({name}), read here", counting(load_file(logits)["logits"], tensors), want)
        ours("merge", base=at / "base", adapter=adapter, out=merged)
        check(f"made by PEFT ({name}), merged here, read by transformers", theirs(load(merged), tensors), want)
        ours("logits", base=merged, batch=at / "batch.safetensors", logits=logits)
        check(f"made by PEFT ({name}), merged here, read here", counting(load_file(logits)["logits"], tensors), want)

    # PEFT's, read by us.
    layers = family.layers
    for name, config in [
        ("list", dict(r=8, lora_alpha=16, target_modules=layers)),
        ("expression", dict(r=4, lora_alpha=6, target_modules=family.expression)),
        ("every layer", dict(r=4, lora_alpha=8, target_modules=family.every)),
        ("output layer alone", dict(r=4, lora_alpha=8, target_modules=["lm_head"])),
        ("all-linear", dict(r=4, lora_alpha=8, target_modules="all-linear")),
        ("rslora", dict(r=9, lora_alpha=6, target_modules=[layers[0], layers[-1]], use_rslora=True)),
        ("patterns", dict(r=8, lora_alpha=16, target_modules=family.two, rank_pattern=family.ranks,
                          alpha_pattern={family.two[1]: 5})),
        *[(f"init {init}", dict(r=4, lora_alpha=8, target_modules=layers, init_lora_weights=init))
          for init in (False, "gaussian", "eva", "orthogonal", "mica")],
        ("other settings", dict(r=4, lora_alpha=8, target_modules=layers, loftq_config={"loftq_bits": 4, "loftq_iter": 1},
                                corda_config=CordaConfig(), lora_ga_config=LoraGAConfig(), megatron_core="mine")),
    ]:
        model = get_peft_model(load(at / "base"), LoraConfig(task_type=family.task, **config)).eval()
        randomise(model)
        want = theirs(model, tensors)
        assert (want - plain).abs().max() > 0.1, "the adapter does nothing"
        adapter = at / f"theirs {name}"
        model.save_pretrained(adapter)
        read_and_merged(name, adapter, want)
    # With PEFT's word in the file itself, and the tensors in a pickle.
    adapter = at / "theirs all-linear"
    rewrite(adapter, {"target_modules": "all-linear"})
    torch.save(load_file(adapter / "adapter_model.safetensors"), adapter / "adapter_model.bin")
    (adapter / "adapter_model.safetensors").unlink()
    read_and_merged("all-linear", adapter, theirs(PeftModel.from_pretrained(load(at / "base"), adapter).eval(), tensors))

    # What begins as a part of the base model is refused, and read once PEFT has turned it into plain LoRA.
    for init in ("pissa", "pissa_niter_4", "olora"):
        config = LoraConfig(task_type=family.task, r=4, lora_alpha=8, target_modules=layers, init_lora_weights=init)
        model = get_peft_model(load(at / "base"), config).eval()
        model.peft_config["default"].init_lora_weights = True
        model.save_pretrained(at / f"first {init}")
        model.peft_config["default"].init_lora_weights = init
        shift(model)
        want = theirs(model, tensors)
        assert (want - plain).abs().max() > 0.1, "the adapter does nothing"
        model.save_pretrained(at / f"theirs {init}")
        refused(f"made by PEFT (init {init})", "init_lora_weights", at / f"theirs {init}", at)
        model.save_pretrained(at / f"theirs {init} converted", path_initial_model_for_weight_conversion=at / f"first {init}")
        read_and_merged(f"init {init}, converted", at / f"theirs {init} converted", want)

    # Everything else that a configuration can say.
    for field, value in [
        ("init_lora_weights", "corda"), ("init_lora_weights", "loftq"), ("init_lora_weights", "lora_ga"),
        ("alora_invocation_tokens", [5, 6]), ("arrow_config", {"top_k": 2}), ("bias", "all"), ("ensure_weight_tying", True),
        ("exclude_modules", [layers[-1]]), ("fan_in_fan_out", True), ("kasa_config", {"beta": 0.1}), ("layer_replication", [[0, 1]]),
        ("layers_pattern", "layers"), ("layers_to_transform", [0]), ("lora_bias", True), ("megatron_config", {"a": 1}),
        ("modules_to_save", ["lm_head"]), ("monteclora_config", {"num_samples": 8}), ("target_parameters", [f"{layers[-1]}.weight"]),
        ("trainable_token_indices", [1]), ("use_bdlora", {"nblocks": 2}), ("use_dora", True), ("use_qalora", True),
        ("velora_config", {"num_groups": 4}), ("a_field_of_the_future", 1),
    ]:
        rewrite(at / "theirs list", {field: value})
        refused(f"{field} = {value}", field, at / "theirs list", at)
        rewrite(at / "theirs list", {field: LoraConfig().to_dict().get(field)})
    # PEFT has no field that is not in one of the lists above or below.
    known = {"task_type", "peft_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode",
             "r", "target_modules", "lora_alpha", "lora_dropout", "use_rslora", "rank_pattern", "alpha_pattern", "megatron_core",
             "loftq_config", "eva_config", "corda_config", "lora_ga_config", "qalora_group_size"}
    refusable = {"init_lora_weights", "alora_invocation_tokens", "arrow_config", "bias", "ensure_weight_tying", "exclude_modules",
                 "fan_in_fan_out", "kasa_config", "layer_replication", "layers_pattern", "layers_to_transform", "lora_bias",
                 "megatron_config", "modules_to_save", "monteclora_config", "target_parameters", "trainable_token_indices",
                 "use_bdlora", "use_dora", "use_qalora", "velora_config"}
    new = sorted(set(LoraConfig().to_dict()) - known - refusable)
    print(f"fields of this PEFT that nobody has looked at: {', '.join(new) or 'none'} (refused where they say something)")


for family in (MT5, Llama, T5):
    print(family.__name__)
    for head in family.heads:
        with tempfile.TemporaryDirectory() as folder:
            both_ways(Path(folder), head)
print(json.dumps({"peft": peft.__version__, "transformers": transformers.__version__, "failures": failures}))
sys.exit(1 if failures else 0)
