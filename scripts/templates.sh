#!/usr/bin/env bash
# Holds the chat templates' engine against llama.cpp's own, over the templates that llama.cpp ships.
# Its source is the one of `make bench` (scripts/peers.sh); only its Jinja engine is compiled.
#
# usage: scripts/templates.sh, called by `make test-templates`
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/peers.sh --source
source=$PWD/target/peers/source
render=$PWD/target/peers/render
if [ ! -x "$render" ] || [ tests/templates/render.cpp -nt "$render" ]; then
  "${CXX:-c++}" -std=c++17 -O1 -I "$source/common" -I "$source/ggml/include" -I "$source/vendor" \
    -o "$render" tests/templates/render.cpp "$source"/common/jinja/{lexer,parser,runtime,string,value}.cpp \
    "$source/common/json.cpp" "$source/common/unicode.cpp"
fi
CUTQ_TEMPLATES=$source/models/templates CUTQ_RENDER=$render \
  cargo test --release --locked --workspace --lib every_template -- --ignored --nocapture
