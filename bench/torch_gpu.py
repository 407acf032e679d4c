"""The same work as bench-gpu in PyTorch, as well as it is done by hand: SDPA, top-k and the strongest keys on the GPU.

usage: torch_gpu.py [--naive] [--compile]

Prints rows of a table: who, prompts, tokens/s, share of the products' ceiling, GPU idle, device memory.
Random bf16 weights in the shape of Llama 3.1 8B, three dictionaries of 32,768 features, 64 kept, the 8 strongest keys of
every row. Nothing is stored; with --naive the dense features and patterns are copied to the host instead, and with --compile
the same runs once more through torch.compile.
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


def flop(taken):
    of_block = D * (HEADS + 2 * KV) * HEAD + D * D + 3 * D * FF
    return 2 * (BLOCKS * of_block + (len(LAYERS) * D * D_SAE if taken else 0))


def run(title, batches, tokens, model, ceiling, taken=True, naive=False, who="PyTorch, eager", forward=forward):
    def once():
        for ids in batches:
            forward(ids, model, taken, naive)
        torch.cuda.synchronize()

    once()
    torch.cuda.reset_peak_memory_stats()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        once()
        times.append(time.perf_counter() - start)
    rate = tokens / statistics.median(times)
    share, memory = 100 * rate * flop(taken) / ceiling, torch.cuda.max_memory_allocated() / 1e9
    print(f"| {who} | {title} | {rate:,.0f} | {share:.0f} % | | {memory:.1f} GB |", flush=True)


def product_rate():
    a, b = torch.randn(4096, D, device="cuda").bfloat16(), torch.randn(D, 2 * FF, device="cuda").bfloat16()
    for _ in range(20):
        a @ b
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(20):
        a @ b
    torch.cuda.synchronize()
    return 20 * 2 * 4096 * D * 2 * FF / (time.perf_counter() - start)


@torch.inference_mode()
def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--naive", action="store_true")
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    half = torch.arange(0, HEAD, 2, device="cuda") / HEAD
    angles = torch.outer(torch.arange(8192, device="cuda").float(), 500000.0**-half)
    angles = torch.cat((angles, angles), -1)
    model = (
        [Block() for _ in range(BLOCKS)], weights(VOCABULARY, D), angles.cos().bfloat16(), angles.sin().bfloat16(),
        {layer: weights(D_SAE, D) for layer in LAYERS},
    )
    ceiling = product_rate()
    ids = lambda n, length: torch.randint(0, VOCABULARY, (n, length), device="cuda")
    lengths = mixed(16384)
    groups = [lengths[i : i + 8] for i in range(0, len(lengths), 8)]
    batches = [ids(len(group), max(group)) for group in groups]
    run("mixed, forward alone", batches, sum(lengths), model, ceiling, False)
    run("mixed", batches, sum(lengths), model, ceiling)
    run("100", [ids(160, 100)], 16000, model, ceiling)
    run("512", [ids(32, 512)], 16384, model, ceiling)
    run("2,048", [ids(1, 2048) for _ in range(8)], 16384, model, ceiling)
    if options.compile:
        compiled = dict(who="PyTorch, compiled", forward=torch.compile(forward))
        run("512", [ids(32, 512)], 16384, model, ceiling, **compiled)
        compiled["forward"] = torch.compile(forward, dynamic=True)
        run("mixed", batches, sum(lengths), model, ceiling, **compiled)
    if options.naive:
        run("512", [ids(8, 512)], 4096, model, ceiling, naive=True, who="PyTorch, dense copies to the host")


main()
