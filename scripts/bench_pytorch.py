#!/usr/bin/env python3
"""Trains a GGUF model as one would without cutq: PyTorch, transformers and PEFT, weights as floats.

usage: bench_pytorch.py MODEL.gguf [--tokens N] [--batch N] [--threads N] [--repetitions N] [--recompute]
                        [--device cuda] [--dtype bfloat16] [--random]

The same step as `cutq bench`: LoRA of rank 16 on the feed-forward network, AdamW, random tokens of
which the second half are targets. Prints one JSON object with seconds and tokens per second of
reading and training, and on a GPU the peak of the memory that PyTorch allocated there. `--random` takes
the model's shape from the file and draws its weights, since dequantizing a large file takes minutes.
Needs torch, transformers, peft and gguf (scripts/peers.sh --torch).
"""
import argparse
import json
import pathlib
import statistics
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM


def load(path, recompute, dtype, random):
    if random:
        config = AutoConfig.from_pretrained(path.parent, gguf_file=path.name)
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    else:
        model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=dtype)
    modules = ["gate_proj", "up_proj", "down_proj"]
    config = LoraConfig(r=16, lora_alpha=16, lora_dropout=0.0, target_modules=modules, task_type="CAUSAL_LM")
    model = get_peft_model(model, config)
    if recompute:
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable()
    return model


def seconds(repetitions, run):
    """Of each repetition, after one to warm up."""
    found = []
    for _ in range(repetitions + 1):
        started = time.perf_counter()
        run()
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        found.append(time.perf_counter() - started)
    return found[1:]


def main():
    parser = argparse.ArgumentParser(description="Time a training step in PyTorch.")
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--recompute", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--random", action="store_true")
    args = parser.parse_args()
    torch.manual_seed(42)
    if args.threads:
        torch.set_num_threads(args.threads)

    with torch.device(args.device):
        model = load(args.model.resolve(), args.recompute, getattr(torch, args.dtype), args.random)
    model.to(args.device)  # what was read from a file is not there yet
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3)
    ids = torch.randint(0, model.config.get_text_config().vocab_size, (args.batch, args.tokens), device=args.device)
    first = args.tokens - args.tokens // 2

    def loss():
        # Logits are kept for the targets' positions only, as a careful user would.
        logits = model(input_ids=ids, logits_to_keep=args.tokens - first + 1).logits[:, :-1]
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, first:].flatten())

    def read():
        with torch.no_grad():
            loss()

    def train():
        loss().backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()

    model.eval()
    reading = seconds(args.repetitions, read)
    model.train()
    training = seconds(args.repetitions, train)
    per_step = args.batch * args.tokens
    memory = {"peak_device_bytes": torch.cuda.max_memory_allocated()} if torch.cuda.is_initialized() else {}
    print(json.dumps({
        "read_seconds": reading,
        "train_seconds": training,
        "read_tok_per_s": per_step / statistics.median(reading),
        "train_tok_per_s": per_step / statistics.median(training),
        **memory,
    }))


if __name__ == "__main__":
    main()
