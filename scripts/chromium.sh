#!/usr/bin/env bash
# Makes this machine able to drive the page of `cutq judge --judge human` in a browser: Debian's
# Chromium and its driver, from apt where we are root or have sudo without a password.
# Says what it does on stderr, and nothing when there is nothing to do.
set -euo pipefail

say() { echo "chromium: $*" >&2; }
has() { command -v "$1" >/dev/null; }
root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
ready() { has chromium && has chromedriver; }

install_packages() {
  has apt-get && root true 2>/dev/null || return 1
  say "installing with apt-get: chromium chromium-driver"
  root env DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2 &&
    root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
      chromium chromium-driver >&2
}

ready || install_packages || say "apt-get did not succeed"
ready || { say "missing: chromium and chromedriver   Debian: chromium chromium-driver   Fedora: chromium chromedriver"; exit 1; }
