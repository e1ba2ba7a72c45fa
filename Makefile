# Everything a person or CI runs. A fresh machine needs Python 3.11 or newer, make and a package index.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help setup run test test-slow fix bench lock clean

PYTHON ?= python3
ARGS ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
RUN := .venv/.run-stamp
DEV := .venv/.dev-stamp

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# What the platform needs to run. A changed lock starts from an empty folder, so nothing lingers in it.
$(RUN): requirements.lock
	@command -v $(PYTHON) >/dev/null || { \
	  echo "error: $(PYTHON) not found; name a Python 3.11 or newer: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: $(PYTHON) is $$($(PYTHON) --version 2>&1); Milepost needs 3.11 or newer:" \
	    "make PYTHON=python3.12 …" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(PIP) install --require-hashes -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

# The tools go on top of it, in place: a platform may be running out of this folder.
$(DEV): $(RUN) requirements-dev.lock
	$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@

setup: $(DEV)  ## make .venv with everything in it

# A .venv that has the tools keeps them: then the tools' lock is brought up to date too.
run: $(if $(wildcard $(DEV)),$(DEV),$(RUN))  ## the whole platform on this machine (ARGS go to `milepost dev`)
	$(BIN)/milepost dev $(ARGS)

# The quick tests run beside one another; the slow ones load the machine, and each has it for itself.
test: $(DEV)  ## format, lint, types, tests: what CI runs (ARGS="-k pull")
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -m "not slow" -n auto $(ARGS)

test-slow: $(DEV)  ## the tests that take longer
	$(BIN)/pytest -m slow --timeout 900 $(ARGS)

fix: $(DEV)  ## lint fixes, then format
	$(BIN)/ruff check --fix . || true
	$(BIN)/ruff format .

bench: $(DEV)  ## measure; each file of bench/ appends to its history (bench/README.md)
	@set -e; for file in $(wildcard bench/bench_*.py); do $(BIN)/python "$$file" $(ARGS); done

# uv resolves for every platform at once. --no-emit-index-url: a lock names files by hash, not by place.
# Existing pins are kept unless asked otherwise: make lock ARGS=--upgrade
UV_VERSION := 0.13.8
COMPILE := .lock-tools/bin/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-header $(ARGS)

lock:  ## resolve pyproject.toml into both locks (ARGS=--upgrade)
	$(PYTHON) -m venv --clear .lock-tools
	.lock-tools/bin/python -m pip --quiet --disable-pip-version-check install uv==$(UV_VERSION)
	$(COMPILE) pyproject.toml --group build -o requirements.lock
	$(COMPILE) pyproject.toml --extra parquet --group build --group dev -c requirements.lock -o requirements-dev.lock
	rm -rf .lock-tools

clean:  ## remove .venv and the tools' caches; never data
	rm -rf .venv .lock-tools .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
