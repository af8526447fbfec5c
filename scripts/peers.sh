#!/usr/bin/env bash
# Builds what `make bench` compares cutq with, unless it is there: llama.cpp's llama-bench and
# llama-quantize, from the source package in vendor/peers.txt, into target/peers/llama; with --torch
# also PyTorch, transformers and PEFT, into target/peers/torch (a gigabyte).
#
# usage: scripts/peers.sh [--torch]
# About 12 minutes of two cores for llama.cpp; needs cmake and a compiler (scripts/setup.sh).
set -euo pipefail
cd "$(dirname "$0")/.."
peers=$PWD/target/peers

build_llama() {
  [ ! -x "$peers/llama/bin/llama-bench" ] || return 0
  mkdir -p "$peers/llama"
  # Only this package has to be source; the tools with which pip reads it may be wheels.
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
    --no-binary llama-cpp-python --dest "$peers/llama" --requirement vendor/peers.txt
  tar -xzf "$peers"/llama/llama_cpp_python-*.tar.gz -C "$peers/llama"
  cmake -S "$peers"/llama/llama_cpp_python-*/vendor/llama.cpp -B "$peers/llama" \
    -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF \
    -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_UI=OFF
  cmake --build "$peers/llama" --parallel "$(nproc)" --target llama-bench llama-quantize
}

install_torch() {
  [ ! -x "$peers/torch/bin/python" ] || return 0
  python3 -m venv "$peers/torch"
  "$peers/torch/bin/python" -m pip install --quiet --disable-pip-version-check \
    torch transformers peft gguf accelerate
}

case ${1:-} in
  '') build_llama ;;
  --torch) build_llama; install_torch ;;
  *) echo "usage: scripts/peers.sh [--torch]" >&2; exit 2 ;;
esac
