# Each target does all of its own set-up: Python >= 3.11 and Rust >= 1.89 are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUST := $(shell find rust -path rust/threadwise-benches -prune -o -name '*.rs' -print -o -name Cargo.toml -print) Cargo.toml Cargo.lock
.DEFAULT_GOAL := help
.PHONY: help demo test test-rust test-python lint bench docs wheel clean

help: ## what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

demo: $(VENV)/built ## a small language model in fewer bits, what it writes, products next to NumPy's
	$(BIN)/threadwise demo

test: test-rust test-python ## everything that must hold

test-rust: # once for each instruction set; single packages would be compiled anew, with other features
	cargo test --locked --profile testrelease --workspace
	THREADWISE_ISA=avx2 cargo test --locked --profile testrelease --workspace --lib
	THREADWISE_ISA=scalar cargo test --locked --profile testrelease --workspace --lib

test-python: $(VENV)/built # the products once for each instruction set
	$(BIN)/python -m pytest -q
	THREADWISE_ISA=avx512 $(BIN)/python -m pytest -q tests/linalg/test_narrow.py
	THREADWISE_ISA=avx2 $(BIN)/python -m pytest -q tests/linalg tests/nn tests/quant/test_products.py
	THREADWISE_ISA=scalar $(BIN)/python -m pytest -q tests/linalg tests/nn tests/quant/test_products.py

lint: $(VENV)/built $(VENV)/lint ## format, clippy, ruff, mypy, stubs
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	$(BIN)/ruff check && $(BIN)/ruff format --check
	$(BIN)/mypy
	MYPYPATH=python $(BIN)/python -m mypy.stubtest threadwise._threadwise

bench: $(VENV)/built ## time it; rows go to benches/record; BENCH="--publish" for README and docs too
	$(BIN)/python benches/matmul.py $(BENCH)
	cargo bench --locked -p threadwise-benches

docs: $(VENV)/built $(VENV)/docs ## the documentation, into docs/_build
	rm -rf docs/_build docs/api
	$(BIN)/python -m sphinx -W -q -b html docs docs/_build

wheel: $(VENV)/built ## a wheel for this platform, into dist
	$(BIN)/maturin build --release --locked --out dist
	@ls -l dist/*.whl

clean: ## forget everything built
	rm -rf $(VENV) target dist docs/_build docs/api docs/lessons docs/.lessons docs/jupyter_execute

# The package with all that its tests need; built as a release, because a debug build gets timed.
$(VENV)/built: $(VENV)/test $(RUST)
	PIP_QUIET=1 $(BIN)/maturin develop --release --locked --quiet --extras cli,hf
	touch $@

$(VENV)/test $(VENV)/lint $(VENV)/docs: $(VENV)/%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --group $*
	touch $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
