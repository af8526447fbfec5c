#!/usr/bin/env bash
# Makes this machine able to build cutq for CUDA, and writes the environment of that build to
# target/cuda.env. A toolkit whose nvcc is in PATH is used; else NVIDIA's compiler and libraries come
# as wheels from PyPI (vendor/cuda.txt, 630 MB to fetch, 1.1 GB on disk) into target/cuda. Neither a
# GPU nor a driver is needed to build.
#
# A program built with the wheels loads cuBLAS from target/cuda, so that folder has to stay; one built
# with a toolkit holds all it needs.
#
# usage: scripts/cuda.sh [ARCHITECTURE...]
# An architecture is a compute capability without its dot, such as 86 for an RTX 3060 (NVIDIA lists
# them at https://developer.nvidia.com/cuda-gpus); by default that of the GPU here. ggml is
# compiled once for each, which takes 22 minutes on two cores (AMD EPYC, Zen 4).
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$PWD/target/cuda

say() { echo "cuda: $*" >&2; }
fail() { say "$@"; exit 1; }

architectures=$*
if [ -z "$architectures" ]; then
  architectures=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | tr -d . | sort -u) ||
    fail "there is no NVIDIA GPU to build for: name an architecture, for example scripts/cuda.sh 86"
fi
[[ $architectures =~ ^[0-9]+([[:space:]]+[0-9]+)*$ ]] || fail "not an architecture: $architectures"

# ---- the toolkit -------------------------------------------------------------------------------
install_wheels() {
  [ "$(uname -sm)" = "Linux x86_64" ] ||
    fail "the wheels are for Linux x86-64: install NVIDIA's toolkit and put its nvcc into PATH"
  say "installing NVIDIA's wheels into target/cuda"
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
    --only-binary :all: --requirement vendor/cuda.txt >&2
}

# The wheels hold a toolkit but for the names that linkers ask for, and for the static cuBLAS that
# the ggml crate asks for: empty archives stand for it, and its symbols come from the shared one.
complete_wheels() {
  local name
  ln -sfn lib "$toolkit/lib64"
  for name in cudart cublas cublasLt; do
    ln -sf "$(cd "$toolkit/lib" && ls lib$name.so.* | head -n 1)" "$toolkit/lib/lib$name.so"
  done
  for name in cublas_static cublasLt_static; do
    ar rc "$toolkit/lib/lib$name.a"
  done
}

flags=
if nvcc=$(command -v nvcc); then
  toolkit=$(dirname "$(dirname "$(readlink -f "$nvcc")")")
else
  nvcc_of_wheels=("$venv"/lib/python3*/site-packages/nvidia/cu13/bin/nvcc)
  [ -x "${nvcc_of_wheels[0]}" ] || install_wheels
  nvcc=$(echo "$venv"/lib/python3*/site-packages/nvidia/cu13/bin/nvcc)
  toolkit=${nvcc%/bin/nvcc}
  complete_wheels
  for flag in "-L$toolkit/lib" -lcublas "-Wl,-rpath,$toolkit/lib"; do
    flags+=${flags:+ }"-C link-arg=$flag"
  done
fi
say "compiling with $nvcc for $architectures"

# ---- the environment ---------------------------------------------------------------------------
{
  echo "# written by scripts/cuda.sh"
  printf 'export CUDACXX=%q CUDA_PATH=%q CUDA_LIBRARY_PATH=%q\n' "$nvcc" "$toolkit" "$toolkit"
  printf 'export CMAKE_CUDA_ARCHITECTURES=%q\n' "$(echo $architectures | tr ' ' ';')"
  # Training does without ggml's flash attention, which takes long to compile.
  echo 'export GGML_CUDA_FA=OFF'
  # cargo adds these to those in .cargo/config.toml.
  [ -z "$flags" ] || printf 'export CARGO_BUILD_RUSTFLAGS=%q\n' "$flags"
} > target/cuda.env.new
mv target/cuda.env.new target/cuda.env
say "now: . target/setup.env; . target/cuda.env; cargo build --release --workspace --features cuda"
