#!/usr/bin/env bash
# Runs the tests of the kernels compiled for aarch64 in an emulator: the NEON level on a CPU with
# the dot-product extension, then the plain level on one without it. Takes some minutes.
#
# Needed: Rust's aarch64 target, a C compiler to link with, and qemu's user emulator.
set -euo pipefail
cd "$(dirname "$0")/.."
target=aarch64-unknown-linux-gnu
gcc=aarch64-linux-gnu-gcc

missing=()
[ -d "$(rustc --print sysroot)/lib/rustlib/$target" ] || missing+=("rustup target add $target")
command -v $gcc >/dev/null || missing+=("apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross")
qemu=$(command -v qemu-aarch64 || command -v qemu-aarch64-static) || missing+=("apt-get install qemu-user")
if [ ${#missing[@]} -gt 0 ]; then
  echo "check-neon: something is missing; on Debian this installs it:" >&2
  printf '  %s\n' "${missing[@]}" >&2
  exit 1
fi

# On the emulated CPU $1, cargo's arguments in the others.
tests() {
  local cpu=$1; shift
  # The build's own target-cpu=native would be this machine's CPU.
  RUSTFLAGS="-C target-cpu=generic" \
  CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=$gcc \
  CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="$qemu -L /usr/aarch64-linux-gnu -cpu $cpu" \
    cargo test --release --locked -p cutq-kernels --target $target "$@"
}

# Asking for the level makes its absence an error.
CUTQ_SIMD=neon tests max
CUTQ_SIMD=plain tests cortex-a72 --lib --test product --test environment
