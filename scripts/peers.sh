#!/usr/bin/env bash
# Builds what `make bench` compares cutq with, unless it is there: llama.cpp's llama-bench,
# llama-batched-bench and llama-quantize, from the source package in vendor/peers.txt, into
# target/peers/llama, and llama-bench for AVX2 alone into target/peers/llama-avx2; with --torch also
# PyTorch, transformers and PEFT, into target/peers/torch (a gigabyte). With --server it is llama.cpp's
# server alone, and with --source its source alone.
#
# usage: scripts/peers.sh [--torch|--server|--source]
# About 12 minutes of two cores for each llama.cpp; needs cmake and a compiler (scripts/setup.sh).
set -euo pipefail
cd "$(dirname "$0")/.."
peers=$PWD/target/peers

source_of_llama() {
  [ ! -d "$peers/source" ] || return 0
  mkdir -p "$peers/download"
  # Only this package has to be source; the tools with which pip reads it may be wheels.
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
    --no-binary llama-cpp-python --dest "$peers/download" --requirement vendor/peers.txt
  tar -xzf "$peers"/download/llama_cpp_python-*.tar.gz -C "$peers/download"
  mv "$peers"/download/llama_cpp_python-*/vendor/llama.cpp "$peers/source"
  rm -r "$peers/download"
}

# Builds programs in a folder of target/peers: build_llama FOLDER PROGRAMS OPTIONS...
build_llama() {
  local build=$peers/$1 programs=$2
  shift 2
  [ ! -x "$build/bin/${programs##* }" ] || return 0  # the last one
  source_of_llama
  cmake -S "$peers/source" -B "$build" -DCMAKE_BUILD_TYPE=Release \
    -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_UI=OFF "$@"
  # shellcheck disable=SC2086 # several programs
  cmake --build "$build" --parallel "$(nproc)" --target $programs
}

build_llamas() {
  build_llama llama 'llama-bench llama-quantize llama-batched-bench' -DGGML_NATIVE=ON
  # What a CPU without AVX-512 would run, for the levels below it.
  build_llama llama-avx2 llama-bench -DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON \
    -DGGML_F16C=ON -DGGML_BMI2=ON
}

install_torch() {
  [ ! -x "$peers/torch/bin/python" ] || return 0
  python3 -m venv "$peers/torch"
  "$peers/torch/bin/python" -m pip install --quiet --disable-pip-version-check \
    torch transformers peft gguf accelerate
}

case ${1:-} in
  '') build_llamas ;;
  --torch) build_llamas; install_torch ;;
  --server) build_llama llama llama-server -DGGML_NATIVE=ON ;;
  --source) source_of_llama ;;
  *) echo "usage: scripts/peers.sh [--torch|--server|--source]" >&2; exit 2 ;;
esac
