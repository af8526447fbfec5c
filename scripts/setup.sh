#!/usr/bin/env bash
# Makes this machine able to build cutq, and writes the environment of the build to target/setup.env.
#
# Needed: Rust, a C++ compiler and python3 with pip; cmake (builds ggml) and libclang (reads its
# headers). What is there is used. What is missing comes from apt where we are root or have sudo
# without a password; else cmake and libclang come as wheels into .venv; else a message says what
# to install. CUTQ_SETUP=apt|venv|none allows only that way of installing.
# Says what it does on stderr, and nothing when there is nothing to do.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$PWD/.venv
way=${CUTQ_SETUP:-any}

say() { echo "setup: $*" >&2; }
fail() { say "$@"; exit 1; }
has() { command -v "$1" >/dev/null; }
at_least() { printf '%s\n%s\n' "$2" "$1" | sort -V -C; }

case $way in any|apt|venv|none) ;; *) fail "CUTQ_SETUP is '$way'; it may be apt, venv or none" ;; esac

# ---- Rust: never installed for you, because a toolchain is the person's own choice -------------
check_rust() {
  local wanted found
  wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
  has cargo && has rustc || fail "Rust $wanted or newer is missing: install it from https://rustup.rs"
  found=$(rustc --version | cut -d' ' -f2)
  at_least "$found" "$wanted" || fail "Rust $found is too old, cutq needs $wanted: run 'rustup update'"
}

# ---- what is there -----------------------------------------------------------------------------
has_compiler() { has "${CC:-cc}" && has "${CXX:-c++}"; }
has_pip() { python3 -m pip --version >/dev/null 2>&1; }
# ggml asks for cmake 3.14.
has_cmake() { has cmake && at_least "$(cmake --version | sed -n 's/.*version \([0-9.]*\).*/\1/p')" 3.14; }

# Prints the folder of the first libclang found: asked for, of the system, of our venv.
find_libclang() {
  local folder
  for folder in ${LIBCLANG_PATH:+"$LIBCLANG_PATH"} \
      "$(llvm-config --libdir 2>/dev/null || true)" \
      $(printf '%s\n' /usr/lib/llvm-*/lib | sort -rV) /usr/lib/*-linux-gnu /usr/lib64 /usr/lib /usr/local/lib \
      "$(xcode-select -p 2>/dev/null || true)"/{Toolchains/XcodeDefault.xctoolchain/usr,usr}/lib \
      /opt/homebrew/opt/llvm/lib /usr/local/opt/llvm/lib \
      "$venv"/lib/python3*/site-packages/clang/native; do
    if [ -f "$folder" ]; then folder=$(dirname "$folder"); fi # LIBCLANG_PATH may name the file
    # Not libclang*.so: that would take libclang-cpp.so, another library.
    if compgen -G "$folder/libclang.*" >/dev/null || compgen -G "$folder/libclang-[0-9]*.so*" >/dev/null; then
      echo "$folder"; return
    fi
  done
  return 1
}

missing() {
  has_compiler || echo compiler
  has_pip || echo pip
  has_cmake || echo cmake
  find_libclang >/dev/null || echo libclang
}

# ---- ways to get the rest ----------------------------------------------------------------------
root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

install_with_apt() {
  local package packages=()
  for package in $(missing); do
    case $package in
      compiler) packages+=(g++) ;;
      pip) packages+=(python3-pip) ;;
      cmake) packages+=(cmake) ;;
      libclang) packages+=(libclang-dev) ;;
    esac
  done
  say "installing with apt-get: ${packages[*]}"
  root env DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2 &&
    root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
      "${packages[@]}" >&2
}

install_in_venv() {
  say "installing cmake and libclang as wheels into .venv"
  python3 -m venv "$venv" >&2 &&
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
      --only-binary :all: --requirement vendor/build-tools.txt >&2
}

explain() {
  local name
  say "cutq cannot be built yet; missing:"
  for name in $(missing); do
    case $name in
      compiler) say "  a C and C++ compiler   Debian, Ubuntu: g++   Fedora: gcc-c++   macOS: xcode-select --install" ;;
      pip) say "  python3 with pip       Debian, Ubuntu: python3-pip   Fedora: python3-pip   macOS: brew install python" ;;
      cmake) say "  cmake 3.14 or newer    Debian, Ubuntu: cmake   Fedora: cmake   macOS: brew install cmake" ;;
      libclang) say "  libclang               Debian, Ubuntu: libclang-dev   Fedora: clang-devel   macOS: brew install llvm" ;;
    esac
  done
  exit 1
}

# ---- the environment ---------------------------------------------------------------------------
# Only what comes from .venv has to be exported: the build finds a system's cmake and libclang by
# itself, and an exported variable would make a plain `cargo build` afterwards compile ggml again.
write_environment() {
  local libclang headers
  libclang=$(find_libclang)
  mkdir -p target
  {
    echo "# written by scripts/setup.sh"
    [[ $(command -v cmake) != "$venv"/* ]] || printf 'export PATH=%q:"$PATH"\n' "$venv/bin"
    if [[ $libclang == "$venv"/* ]]; then
      printf 'export LIBCLANG_PATH=%q\n' "$libclang"
      # The wheel is the bare library, without clang's stddef.h and the like: the compiler's are used.
      headers=$("${CC:-cc}" -print-file-name=include)
      printf 'export BINDGEN_EXTRA_CLANG_ARGS=%q\n' "${BINDGEN_EXTRA_CLANG_ARGS:+$BINDGEN_EXTRA_CLANG_ARGS }-I$headers"
    fi
  } > target/setup.env.new
  mv target/setup.env.new target/setup.env
}

check_rust
if [ -x "$venv/bin/cmake" ] && ! has_cmake; then PATH=$venv/bin:$PATH; fi
if [ -n "$(missing)" ] && [[ $way =~ any|apt ]] && has apt-get && root true 2>/dev/null; then
  install_with_apt || say "apt-get did not succeed"
  hash -r
fi
if [[ " "$(missing | tr '\n' ' ') =~ cmake|libclang ]] && [[ $way =~ any|venv ]] && has python3; then
  install_in_venv || say "the wheels could not be installed"
  if ! has_cmake; then PATH=$venv/bin:$PATH; fi
fi
[ -z "$(missing)" ] || explain
write_environment
