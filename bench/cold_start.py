"""Times a program that is started anew on a model in the shape of Llama 3.1 8B, until its first step is committed.

usage: cold_start.py PROGRAM [--folder FOLDER] [--tokens N]

Makes, once, a model of random bf16 weights (16 GB), three dictionaries of 32,768 features (1.6 GB) and a file of prompts
in FOLDER; what it writes stays on the page cache. Then runs `saelake plan` and `saelake collect`, and prints what they
say and the seconds from the start of the process to the first committed step.
"""

import argparse
import json
import random
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

D, FF, HEADS, KV, HEAD, BLOCKS, VOCABULARY, D_SAE = 4096, 14336, 32, 8, 128, 32, 128256, 32768
LAYERS, PER_FILE = (8, 15, 31), 8
TOKENIZER = Path(__file__).parent.parent / "tests/fixtures/tokens/tiny"


def weights(outputs, inputs, scale=1.0):
    return (torch.randn(outputs, inputs, device="cuda") * scale * inputs**-0.5).bfloat16().cpu()


def block(layer):
    shapes = {
        "self_attn.q_proj": (D, D), "self_attn.k_proj": (KV * HEAD, D), "self_attn.v_proj": (KV * HEAD, D),
        "self_attn.o_proj": (D, D), "mlp.gate_proj": (FF, D), "mlp.up_proj": (FF, D), "mlp.down_proj": (D, FF),
    }
    tensors = {f"model.layers.{layer}.{name}.weight": weights(*shape) for name, shape in shapes.items()}
    for norm in ("input_layernorm", "post_attention_layernorm"):
        tensors[f"model.layers.{layer}.{norm}.weight"] = torch.ones(D, dtype=torch.bfloat16)
    return tensors


def make_model(folder):
    folder.mkdir(parents=True)
    parts = [{
        "model.embed_tokens.weight": weights(VOCABULARY, D, D**0.5), "lm_head.weight": weights(VOCABULARY, D),
        "model.norm.weight": torch.ones(D, dtype=torch.bfloat16),
    }]
    place = {}
    for first in range(0, BLOCKS, PER_FILE):
        parts.append({})
        for layer in range(first, first + PER_FILE):
            parts[-1] |= block(layer)
    for number, tensors in enumerate(parts, 1):
        name = f"model-{number:05}-of-{len(parts):05}.safetensors"
        save_file(tensors, folder / name)
        place |= dict.fromkeys(tensors, name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": place}))
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": D,
        "intermediate_size": FF, "num_attention_heads": HEADS, "num_key_value_heads": KV, "head_dim": HEAD,
        "num_hidden_layers": BLOCKS, "vocab_size": VOCABULARY, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0, "tie_word_embeddings": False, "bos_token_id": 0, "eos_token_id": 1,
    }))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(TOKENIZER / name, folder)


def make_dictionary(folder, layer):
    folder.mkdir(parents=True)
    decoder = weights(D_SAE, D)
    save_file({
        "W_enc": decoder.T.contiguous(), "W_dec": decoder, "b_enc": torch.zeros(D_SAE, dtype=torch.bfloat16),
        "b_dec": torch.zeros(D, dtype=torch.bfloat16),
    }, folder / "sae_weights.safetensors")
    (folder / "cfg.json").write_text(json.dumps({
        "architecture": "topk", "k": 64, "d_in": D, "d_sae": D_SAE, "dtype": "bfloat16", "apply_b_dec_to_input": True,
        "normalize_activations": "none", "rescale_acts_by_decoder_norm": False,
        "metadata": {"sae_lens_version": "6.0.0", "hook_name": f"blocks.{layer}.hook_resid_post"},
    }))


def make_prompts(path, tokens):
    draw, lines = random.Random(0), []
    while tokens > 0:
        length = draw.randint(80, 512)
        tokens -= length
        # Of this tokenizer a digit is about a token.
        lines.append(json.dumps({"game": str(len(lines)), "text": "".join(draw.choices("0123456789", k=length))}))
    path.write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "cold-start")
    parser.add_argument("--tokens", type=int, default=500_000)
    options = parser.parse_args()
    folder = options.folder
    if not folder.exists():
        make_model(folder / "model")
        for layer in LAYERS:
            make_dictionary(folder / "dictionaries" / f"layer-{layer}", layer)
        make_prompts(folder / "prompts.jsonl", options.tokens)
    lake = folder / "lake"
    shutil.rmtree(lake, ignore_errors=True)
    asked = [
        "--lake", lake, "--model", folder / "model", "--dictionary", folder / "dictionaries",
        "--prompts", folder / "prompts.jsonl",
    ]
    subprocess.run([options.program, "plan", *asked], check=True)
    start = time.monotonic()
    process = subprocess.Popen([options.program, "collect", *asked, "--allow-unverified-dictionary"])
    log, first = lake / "games" / "_delta_log", None
    while process.poll() is None:
        # Version 0 makes the table; games come with those after it.
        if first is None and (log / f"{1:020}.json").exists():
            first = time.monotonic() - start
        time.sleep(0.02)
    print(f"first commit {first:.1f} s after the start of the process, whole run {time.monotonic() - start:.1f} s")
    raise SystemExit(process.returncode)


if __name__ == "__main__":
    main()
