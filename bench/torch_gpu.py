"""The same work as bench-gpu in PyTorch, as well as it is done by hand: SDPA, top-k and the strongest keys on the GPU.

usage: torch_gpu.py [--naive]

Random bf16 weights in the shape of Llama 3.1 8B, three dictionaries of 32,768 features, 64 kept, the 8 strongest keys of
every row. Nothing is stored; with --naive the dense features and patterns are copied to the host instead.
"""

import argparse
import statistics
import time

import torch
import torch.nn.functional as F

D, FF, HEADS, KV, HEAD, BLOCKS, VOCABULARY, D_SAE = 4096, 14336, 32, 8, 128, 32, 128256, 32768
LAYERS = (8, 15, 31)
KEPT, STRONGEST = 64, 8


def weights(*shape):
    return torch.randn(*shape, device="cuda", dtype=torch.bfloat16) * shape[-1] ** -0.5


class Block:
    def __init__(self):
        self.qkv = weights((HEADS + 2 * KV) * HEAD, D)
        self.output, self.gate_up, self.down = weights(D, D), weights(2 * FF, D), weights(D, FF)
        self.ln1 = self.ln2 = torch.ones(D, device="cuda", dtype=torch.bfloat16)


def rotate(x, cos, sin):
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat((-second, first), -1) * sin


def features(x, encoder):
    return torch.topk(F.relu((x @ encoder.T).float()), KEPT, dim=-1)


def strongest(q, k):
    pattern = (q @ k.repeat_interleave(HEADS // KV, 1).transpose(-1, -2)).float() * HEAD**-0.5
    unseen = torch.ones(pattern.shape[-2:], device="cuda", dtype=torch.bool).triu(1)
    pattern = torch.softmax(pattern.masked_fill(unseen, float("-inf")), -1)
    weight, key = torch.topk(pattern, min(STRONGEST, pattern.shape[-1]), dim=-1)
    entropy = -(pattern * pattern.clamp_min(1e-30).log()).sum(-1)
    return pattern, (weight, key, weight.sum(-1), entropy, pattern[..., -1, :].clone())


def forward(ids, model, taken, naive):
    blocks, embed, cos, sin, encoders = model
    x = embed[ids]
    n, length = ids.shape
    cos, sin = cos[:length], sin[:length]
    kept = []
    for layer, block in enumerate(blocks):
        qkv = F.linear(F.rms_norm(x, (D,), block.ln1, 1e-5), block.qkv)
        q, k, v = (
            part.view(n, length, -1, HEAD).transpose(1, 2)
            for part in qkv.split((HEADS * HEAD, KV * HEAD, KV * HEAD), -1)
        )
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if taken and layer in LAYERS:
            pattern, rows = strongest(q, k)
            kept.append(pattern.cpu() if naive else rows)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + F.linear(mixed.transpose(1, 2).reshape(n, length, -1), block.output)
        gate, up = F.linear(F.rms_norm(x, (D,), block.ln2, 1e-5), block.gate_up).chunk(2, -1)
        x = x + F.linear(F.silu(gate) * up, block.down)
        if taken and layer in LAYERS:
            rows = x.reshape(-1, D)
            found = [(features(part, encoders[layer])) for part in rows.split(4096)]
            kept.append([f.values.cpu() for f in found] if naive else found)
    return x, kept


def mixed(tokens):
    lengths, state = [], 12345
    while True:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        length = 80 + (state >> 33) % 433
        if sum(lengths) + length > tokens:
            return sorted(lengths)
        lengths.append(length)


def run(title, batches, tokens, model, taken, naive=False):
    def once():
        for ids in batches:
            forward(ids, model, taken, naive)
        torch.cuda.synchronize()

    once()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        once()
        times.append(time.perf_counter() - start)
    middle = statistics.median(times)
    print(f"PyTorch {title}: {tokens} tokens, {middle * 1e3:.1f} ms, {tokens / middle:.0f} tok/s", flush=True)


@torch.inference_mode()
def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--naive", action="store_true")
    naive = parser.parse_args().naive
    half = torch.arange(0, HEAD, 2, device="cuda") / HEAD
    angles = torch.outer(torch.arange(8192, device="cuda").float(), 500000.0**-half)
    angles = torch.cat((angles, angles), -1)
    model = (
        [Block() for _ in range(BLOCKS)], weights(VOCABULARY, D), angles.cos().bfloat16(), angles.sin().bfloat16(),
        {layer: weights(D_SAE, D) for layer in LAYERS},
    )
    a = torch.randn(4096, 4096, device="cuda", dtype=torch.bfloat16)
    for _ in range(20):
        a @ a
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(50):
        a @ a
    torch.cuda.synchronize()
    print(f"PyTorch product of 4096: {50 * 2 * 4096**3 / (time.perf_counter() - start) / 1e12:.0f} TFLOP/s")
    ids = lambda n, length: torch.randint(0, VOCABULARY, (n, length), device="cuda")
    run("8 x 512, forward", [ids(8, 512)], 4096, model, False)
    run("32 x 512, forward", [ids(32, 512)], 16384, model, False)
    run("32 x 512, three layers", [ids(32, 512)], 16384, model, True)
    lengths = mixed(16384)
    groups = [lengths[i : i + 8] for i in range(0, len(lengths), 8)]
    batches = [ids(len(group), max(group)) for group in groups]
    run("mixed 16k, forward", batches, sum(lengths), model, False)
    run("mixed 16k, three layers", batches, sum(lengths), model, True)
    run("160 x 100, three layers", [ids(160, 100)], 16000, model, True)
    run("8 x 2048, three layers", [ids(1, 2048) for _ in range(8)], 16384, model, True)
    run("one of 300, three layers", [ids(1, 300)], 300, model, True)
    if naive:
        run("8 x 512, three layers, copied dense", [ids(8, 512)], 4096, model, True, True)


main()
