#!/usr/bin/env python3
"""Checks the PyTorch peer against a step that `bev_bench export` wrote, and times training steps of it.

    torch_bench.py DIR [--steps N] [--warmup N] [--device cpu|cuda:0] [--precision fp32|tf32|bf16] [--compile] [--no-check]

DIR holds case.json (the configuration), model.safetensors (weights under the checkpoint's names), batch.safetensors (one
batch with its diffusion times and noise) and expected.safetensors (our loss and gradients on it, without dropout). A timed
step is what a trainer does: forward, backward, clipping, AdamW and an EMA of the weights, dropout on. Prints one JSON line."""
import argparse
import json
import pathlib
import statistics
import struct
import sys
import time

import torch
from torch import nn

from torch_policy import Attention, Policy, PolicyConfig

DTYPES = {"F64": torch.float64, "F32": torch.float32, "BF16": torch.bfloat16, "I64": torch.int64, "I32": torch.int32,
          "U8": torch.uint8}


def load_safetensors(path):
    data = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    out = {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        tensor = torch.frombuffer(bytearray(data[begin:end]), dtype=DTYPES[entry["dtype"]])
        out[name] = tensor.view(entry["shape"])
    return out


def build(case, weights):
    config = PolicyConfig(**{k: tuple(v) if isinstance(v, list) else v for k, v in case["policy"].items()})
    policy = Policy(config)
    state = policy.state_dict()
    for name in state:
        source = name
        if config.share_decoder_layers and name.startswith("model.decoder.layers."):
            source = "model.decoder.layers.0." + name.split(".", 4)[4]
        if source in weights:
            state[name] = weights[source]
        elif not name.endswith("num_batches_tracked"):
            sys.exit(f"model.safetensors has no {source}")
    policy.load_state_dict(state)
    return policy


def loss_of(policy, batch):
    bev = batch["bev"]
    vl, reasoning = (batch[k].to(bev.dtype) for k in ("gen_vit_tokens", "reasoning_query_tokens"))
    prediction = policy(bev, batch["ego_status"], vl, reasoning, batch["noisy"], batch["times"])
    return (prediction.float() - batch["target"]).pow(2).mean()


def set_dropout(policy, on, case):
    config = case["policy"]
    for name, module in policy.named_modules():
        if isinstance(module, nn.Dropout):  # those behind embeddings and the head's norm are named drop
            module.p = config["dropout_embedding" if name.endswith(".drop") else "dropout_attention"] if on else 0.0
        elif isinstance(module, Attention):
            module.dropout = config["dropout_attention"] if on else 0.0


def check(policy, batch, expected, case):
    """Our loss and gradients against PyTorch's: the worst relative error in Euclidean norm."""
    set_dropout(policy, False, case)
    buffers = {name: value.clone() for name, value in policy.named_buffers()}
    loss = loss_of(policy, batch)
    loss.backward()
    worst, worst_name = abs(loss.item() - expected["loss"].item()) / abs(loss.item()), "loss"
    parameters = dict(policy.named_parameters())
    largest = max(float(p.grad.norm()) for p in parameters.values() if p.grad is not None)
    for name, parameter in parameters.items():
        if parameter.grad is None:
            continue
        ours = expected["gradient." + name].to(parameter.grad)
        theirs = parameter.grad
        if name.endswith("in_proj_bias"):  # its key third is rounding noise in PyTorch and exactly 0 in ours
            third = theirs.numel() // 3
            keep = torch.ones_like(theirs, dtype=torch.bool)
            keep[third : 2 * third] = False
            ours, theirs = ours[keep], theirs[keep]
        error = float((ours - theirs).norm() / max(float(theirs.norm()), 1e-4 * largest))
        if error > worst:
            worst, worst_name = error, "gradient of " + name
    policy.zero_grad(set_to_none=True)
    for name, value in policy.named_buffers():
        value.copy_(buffers[name])
    return worst, worst_name


def matmul_rate(device):
    """FLOP/s of a large product, the best of five: what this PyTorch makes of the machine."""
    size, best = 2048, float("inf")
    a, b = (torch.randn(size, size, device=device) for _ in range(2))
    for _ in range(5):
        begin = time.perf_counter()
        a @ b
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begin)
    return 2 * size**3 / best


def make_optimizer(parameters, config, device):
    """AdamW in the fastest form that this PyTorch has: fused, over lists of tensors, or one by one."""
    options = dict(lr=config["learning_rate"], betas=tuple(config["betas"]), eps=config["epsilon"],
                   weight_decay=config["weight_decay"])
    forms = ([dict(fused=True)] if device.type == "cuda" else []) + [dict(foreach=True), {}]
    for form in forms:
        try:
            return torch.optim.AdamW(parameters, **options, **form)
        except (TypeError, RuntimeError):  # a form that this version does not know, or not for these tensors
            continue
    sys.exit("this PyTorch has no AdamW")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dir")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=("fp32", "tf32", "bf16"), default="fp32")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--no-check", action="store_true")
    parser.add_argument("--tolerance", type=float, default=None, help="of the check, relative")
    arguments = parser.parse_args()
    folder = pathlib.Path(arguments.dir)
    case = json.loads((folder / "case.json").read_text())
    torch.manual_seed(0)
    if arguments.precision == "tf32":  # allowed, on any device; a PyTorch that has no faster products there stays at fp32
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True

    device = torch.device(arguments.device)
    policy = build(case, load_safetensors(folder / "model.safetensors")).to(device).train()
    batch = {name: value.to(device) for name, value in load_safetensors(folder / "batch.safetensors").items()}
    result = {"torch": torch.__version__, "threads": torch.get_num_threads(), "device": str(device),
              "precision": arguments.precision, "mode": "compile" if arguments.compile else "eager"}
    if not arguments.no_check:
        worst, name = check(policy, batch, load_safetensors(folder / "expected.safetensors"), case)
        tolerance = arguments.tolerance or (1e-3 if device.type == "cpu" else 5e-2)
        result.update(worst_relative_error=worst, worst_at=name)
        if not worst <= tolerance:
            sys.exit(f"the peer disagrees: {name} is off by {worst:.2e} (at most {tolerance:.0e} expected)")

    result["matmul_flop_per_second"] = matmul_rate(device)
    set_dropout(policy, True, case)
    parameters = [p for p in policy.parameters() if p.requires_grad]
    optimizer = make_optimizer(parameters, case["optimizer"], device)
    averages = [p.detach().clone() for p in parameters]
    run = torch.compile(loss_of) if arguments.compile else loss_of

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=arguments.precision == "bf16"):
            loss = run(policy, batch)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, case["optimizer"]["max_gradient_norm"])
        optimizer.step()
        with torch.no_grad():
            if hasattr(torch, "_foreach_lerp_"):
                torch._foreach_lerp_(averages, [p.detach() for p in parameters], 1e-3)
            else:
                for average, parameter in zip(averages, parameters):
                    average.lerp_(parameter.detach(), 1e-3)
        if device.type == "cuda":
            torch.cuda.synchronize()

    for _ in range(arguments.warmup):
        step()
    seconds = []
    for _ in range(arguments.steps):
        begin = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - begin)
    result.update(seconds=seconds, median=statistics.median(seconds))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
