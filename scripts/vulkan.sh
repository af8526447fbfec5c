#!/usr/bin/env bash
# Makes this machine able to build cutq for Vulkan and to run it without a GPU, on Mesa's software
# driver, and writes the environment of the build to target/vulkan.env.
#
# Needed: a shader compiler (glslc), the Vulkan loader, SPIR-V headers, a driver, and Vulkan headers
# of 1.3.275 or newer, which Debian 12 lacks. Where we are root or have sudo without a password,
# apt-get installs them; headers that are too old are taken from the package of a newer Debian
# release (CUTQ_VULKAN_SUITE), unpacked beside the build and never installed.
# Says what it does on stderr, and nothing when there is nothing to do.
set -euo pipefail
cd "$(dirname "$0")/.."
sdk=$PWD/target/vulkan
suite=${CUTQ_VULKAN_SUITE:-trixie}
wanted=275 # of Vulkan 1.3

say() { echo "vulkan: $*" >&2; }
fail() { say "$@"; exit 1; }
has() { command -v "$1" >/dev/null; }
root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

# Prints the folder of the first headers that are new enough.
find_headers() {
  local folder version
  for folder in ${VULKAN_SDK:+"$VULKAN_SDK"} "$sdk" /usr /usr/local; do
    version=$(sed -n 's/^#define VK_HEADER_VERSION \([0-9]*\)$/\1/p' \
      "$folder/include/vulkan/vulkan_core.h" 2>/dev/null || true)
    # 1.4 continues the count of 1.3.
    if [ "${version:-0}" -ge $wanted ] && [ -f "$folder/include/vulkan/vulkan.hpp" ]; then
      echo "$folder"; return
    fi
  done
  return 1
}

has_loader() { compgen -G '/usr/lib/*/libvulkan.so' >/dev/null || [ -e /usr/lib/libvulkan.so ] || [ -n "${VULKAN_SDK:-}" ]; }
has_driver() { compgen -G '/usr/share/vulkan/icd.d/*.json' >/dev/null || compgen -G '/etc/vulkan/icd.d/*.json' >/dev/null; }
has_spirv() { compgen -G '/usr/*/cmake/SPIRV-Headers' >/dev/null || compgen -G '/usr/lib/*/cmake/SPIRV-Headers' >/dev/null || [ -n "${VULKAN_SDK:-}" ]; }

install_packages() {
  has apt-get && root true 2>/dev/null || return 1
  say "installing with apt-get: glslc libvulkan-dev spirv-headers mesa-vulkan-drivers"
  root env DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2 &&
    root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
      glslc libvulkan-dev spirv-headers mesa-vulkan-drivers >&2
}

# The headers of a newer release, from the mirror that this machine uses already.
unpack_headers() {
  has apt-get && has dpkg-deb || return 1
  local work uri options
  work=$(mktemp -d)
  uri=$(apt-get indextargets --format '$(REPO_URI) $(SUITE) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
    awk '/\/debian\/? / && $4 == "main" && $3 !~ /-/ { print $1; exit }')
  [ -n "$uri" ] || return 1
  say "unpacking the Vulkan headers of $suite into target/vulkan"
  mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $suite main" > "$work/sources.list"
  options=(-qq -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=-
    -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" -o Acquire::Check-Valid-Until=false
    -o APT::Sandbox::User=root)
  (cd "$work" && apt-get "${options[@]}" update >&2 &&
    apt-get "${options[@]}" download libvulkan-dev >&2 &&
    dpkg-deb -x libvulkan-dev_*.deb unpacked) || { rm -rf "$work"; return 1; }
  mkdir -p "$sdk"
  rm -rf "$sdk/include"
  mv "$work/unpacked/usr/include" "$sdk/include"
  rm -rf "$work"
}

explain() {
  say "cutq cannot be built for Vulkan yet; missing:"
  has glslc || say "  glslc                    Debian, Ubuntu: glslc   Fedora: glslc"
  has_loader || say "  the Vulkan loader        Debian, Ubuntu: libvulkan-dev   Fedora: vulkan-loader-devel"
  has_spirv || say "  SPIR-V headers           Debian, Ubuntu: spirv-headers   Fedora: spirv-headers-devel"
  has_driver || say "  a Vulkan driver          Debian, Ubuntu: mesa-vulkan-drivers   Fedora: mesa-vulkan-drivers"
  find_headers >/dev/null || say "  Vulkan headers, 1.3.$wanted or newer: a Vulkan SDK, named by VULKAN_SDK"
  exit 1
}

ready() { has glslc && has_loader && has_driver && has_spirv; }

ready || install_packages || say "apt-get did not succeed"
find_headers >/dev/null || unpack_headers || say "no newer headers could be unpacked"
if ! ready || ! find_headers >/dev/null; then explain; fi

{
  echo "# written by scripts/vulkan.sh"
  headers=$(find_headers)
  # Only where it must be: another value compiles ggml again.
  [ "$headers" = /usr ] || printf 'export VULKAN_SDK=%q\n' "$headers"
} > target/vulkan.env.new
mv target/vulkan.env.new target/vulkan.env
