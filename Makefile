# The commands of the project. Each one first makes the machine ready (scripts/setup.sh).
SHELL := bash
env := . target/setup.env;
.PHONY: help setup demo test test-models test-slow test-templates test-llama-server test-kills test-browser test-vulkan test-neon test-miri test-loom bench package

# Where scripts/models.py puts the models and the tests look for them.
export CUTQ_MODELS ?= $(CURDIR)/models

help:
	@echo 'make demo         fine-tune a small quantized model on bundled judgments: before and after'
	@echo 'make test         format, lints, every test on SmolLM2 135M and Gemma 3 270M'
	@echo 'make test-models  the same, then the tests on Qwen2.5-Coder 1.5B (fetches 1.1 GB)'
	@echo 'make test-slow    a hundred steps at int8 beside a hundred at f32; the cost of unpacking (takes minutes)'
	@echo 'make test-templates  chat templates beside llama.cpp, over those that it ships (fetches its source)'
	@echo 'make test-llama-server  cutq judge beside the server of llama.cpp (builds it: takes minutes)'
	@echo 'make test-kills   cutq align, killed at 20 random moments: ends the same and pays nothing twice (takes minutes)'
	@echo 'make test-browser  the page of cutq judge --judge human, by keyboard in Chromium'
	@echo 'make test-vulkan  the tests of devices on Vulkan, in software if there is no GPU (takes minutes)'
	@echo 'make test-neon    the kernels for aarch64 in an emulator (takes minutes)'
	@echo 'make test-miri    the kernels in Miri, which checks every access to memory (takes minutes)'
	@echo 'make test-loom    the threads of the kernels in the orders in which they may meet, up to three switches'
	@echo 'make bench        measure beside the peers that are installed (scripts/peers.sh builds them)'
	@echo 'make package      the crates as they would be published (VERIFY=1 builds them, too: takes minutes)'
	@echo 'make setup        only make the machine ready'

setup:
	@scripts/setup.sh

demo: setup
	@$(env) cargo build --release --locked --workspace
	@$(env) python3 scripts/models.py smol >/dev/null
	@scripts/demo.sh

test: setup
	$(env) python3 scripts/models.py smol gemma
	$(env) cargo fmt --all --check
	$(env) cargo clippy --release --locked --workspace --all-targets -- -D warnings
	python3 tests/metal/table.py --check
	python3 -m unittest discover --quiet --start-directory scripts
	python3 scripts/bench.py --readme --check
	python3 scripts/cycles.py
	@if [ -d "$$(rustc --print sysroot)/lib/rustlib/aarch64-unknown-linux-gnu" ]; then \
	RUSTFLAGS='-C target-cpu=generic' cargo clippy --release --locked -p cutq-kernels --all-targets \
	--target aarch64-unknown-linux-gnu -- -D warnings; \
	else echo "Rust's aarch64 target is not installed: the NEON level was not compiled"; fi
	@if cargo deny --version >/dev/null 2>&1; then cargo deny --locked check; \
	else echo 'cargo-deny is not installed: deny.toml was not checked'; fi
	$(env) cargo test --release --locked --workspace --no-fail-fast
	@if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then $(MAKE) test-browser; \
	else echo "Chromium or its driver is not installed: the page of --judge human was not tested in a browser"; fi
	@if [[ ,$$CUTQ_REQUIRE, == *,vulkan,* ]]; then $(MAKE) test-vulkan; \
	elif compgen -G '/usr/share/vulkan/icd.d/lvp*' >/dev/null && scripts/vulkan.sh; then $(MAKE) test-vulkan; \
	else echo "Mesa's software driver or what a build for Vulkan needs is not installed: Vulkan was not tested"; fi

# Tests on the large model carry #[ignore = "..."], so that `make test` lists them as ignored.
test-models: test
	$(env) python3 scripts/models.py qwen
	$(env) cargo test --release --locked --workspace -- --ignored --skip every_template

test-slow: setup
	$(env) python3 scripts/models.py smol
	$(env) cargo test --release --locked --workspace --test loss_curve -- --ignored --nocapture
	$(env) cargo test --release --locked --workspace --lib unpacking -- --ignored --nocapture

test-templates: setup
	$(env) scripts/templates.sh

test-llama-server: setup
	scripts/peers.sh --server
	$(env) python3 scripts/models.py smol >/dev/null
	$(env) cargo build --release --locked --workspace
	$(env) python3 scripts/llama_server.py

# KILLS='--kills 5 --seed 7' repeats the moments of an earlier test, which prints its seed.
KILLS ?=
test-kills: setup
	$(env) python3 scripts/models.py smol >/dev/null
	$(env) cargo build --release --locked -p cutq
	$(env) python3 scripts/kills.py $(KILLS)

test-browser: setup
	@scripts/chromium.sh
	$(env) cargo build --release --locked --workspace
	$(env) python3 scripts/browser.py

# ggml is compiled a second time, beside the plain build. Drivers that compute on the CPU are skipped
# unless they are named; the name is given to the tests alone, because cargo would compile ggml again.
vulkan := GGML_VK_VISIBLE_DEVICES=$${GGML_VK_VISIBLE_DEVICES:-0}
test-vulkan: setup
	@scripts/vulkan.sh
	$(env) . target/vulkan.env; CUTQ_REQUIRE=vulkan cargo test --release --locked -p cutq-tests \
	  --features vulkan --no-fail-fast --test devices \
	  --config "target.'cfg(all())'.runner = ['env', '$(vulkan)']" -- --nocapture --test-threads 1 vulkan

test-neon:
	@scripts/check-neon.sh

# Miri knows no vector instructions, so this is the plain level; RUSTFLAGS takes the place of the
# build's target-cpu=native, with which the others would be found. Miri's own exp and ln are off by
# some random last bits unless they are asked not to.
test-miri:
	@cargo +nightly miri --version >/dev/null 2>&1 || { \
	echo 'Miri is missing: rustup toolchain install nightly --component miri --component rust-src'; exit 1; }
	RUSTFLAGS= CUTQ_SIMD=plain MIRIFLAGS='-Zmiri-env-forward=CUTQ_SIMD -Zmiri-deterministic-floats' \
	cargo +nightly miri test --locked -p cutq-kernels

# loom needs a build of its own, in which its types take the place of the standard library's.
test-loom:
	RUSTFLAGS='--cfg loom' cargo test --release --locked -p cutq-kernels --lib --target-dir target/loom orders

# CASES='smol qwen' chooses among those that scripts/bench.py --help lists.
CASES ?=
ROUNDS ?= 3
bench: setup
	@$(env) cargo build --release --locked --workspace
	@$(env) python3 scripts/models.py smol gemma $(if $(filter qwen%,$(CASES)),qwen) >/dev/null
	@$(env) python3 scripts/bench.py $(CASES) --rounds $(ROUNDS) --write docs/benchmarks.md

# All in one call: cargo then finds in its own packages what is in no registry yet. Building from the
# packages compiles ggml once more.
VERIFY ?=
package: setup
	$(env) cargo package --locked --workspace --exclude cutq-tests $(if $(VERIFY),,--no-verify)
