# Two commands on a fresh machine: `make demo` runs the main job, `make test` runs every check.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
UV_VERSION := 0.13.9
UV := .uv/bin/uv
RUN := .venv/bin/
# One thread pool per test process: two pytest workers share the machine instead of fighting for it.
TEST_JOBS ?= 2

.PHONY: help setup lock demo test lint types contracts pytest quick mutants bench experiments clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: .venv/.installed ## Build .venv from the lock file

$(UV):
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/.installed: requirements/dev.lock pyproject.toml | $(UV)
	$(UV) venv --quiet --clear --python $(PYTHON) .venv
	$(UV) pip sync --quiet --python .venv --require-hashes requirements/dev.lock
	$(UV) pip install --quiet --python .venv --no-deps --no-build-isolation --editable .
	touch $@

lock: | $(UV) ## Renew the lock files from pyproject.toml
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	  --group dev pyproject.toml -o requirements/dev.lock
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	  --constraints requirements/dev.lock pyproject.toml -o requirements/runtime.lock

demo: setup ## Run one whole unlearning job over HTTP and print the table
	$(RUN)python -m demo

test: lint types contracts pytest ## Run every check

lint: setup
	$(RUN)ruff check .
	$(RUN)ruff format --check .

types: setup
	$(RUN)mypy

contracts: setup
	$(RUN)lint-imports

pytest: setup
	$(RUN)pytest -n $(TEST_JOBS) --dist loadscope

quick: setup ## Run the tests that need no server, in under a minute
	$(RUN)pytest -n $(TEST_JOBS) --dist loadscope -m "not server and not slow"

experiments: setup ## The paper's comparison, small and real, on CIFAR-10 and digits; resumes where it was stopped
	$(RUN)python -m experiments

mutants: setup ## Which small changes of the code no test notices; ROOM=negmerge.merging for one room
	$(RUN)mutmut run --max-children $(TEST_JOBS) "$(ROOM)*"
	$(RUN)mutmut results

bench: setup ## Measure speed and memory beside the published way
	$(RUN)python -m benchmarks

clean: ## Remove what was built here
	rm -rf .venv .uv .mypy_cache .ruff_cache .pytest_cache var
