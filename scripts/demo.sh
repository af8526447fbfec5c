#!/usr/bin/env bash
# A quantized model before and after training on judgments of its mistakes. See `make demo`.
set -euo pipefail
cd "$(dirname "$0")/.."

model=${CUTQ_MODELS:-models}/SmolLM2-135M-Instruct.Q4_1.gguf
adapter=target/demo/SmolLM2-135M-cut-lora.gguf
run=target/demo/run
instruction='A customer asks where their parcel is. Reply politely in one sentence.'
cutq=target/release/cutq

answer() { "$cutq" generate "$model" -p "$instruction" -n 60 "$@"; }
title() { printf '\n\033[1m%s\033[0m\n' "$*"; }

rm -rf target/demo
mkdir -p target/demo

title "Before: $instruction"
answer

title "Fine-tuning on $(wc -l < demo/judgments.jsonl) judgments"
"$cutq" finetune "$model" --data demo/judgments.jsonl --epochs 3 --eval-split 0.1 \
  --out "$adapter" --run-dir "$run"

title "After: $instruction"
answer --adapter "$adapter"

title "The adapter is $adapter"
