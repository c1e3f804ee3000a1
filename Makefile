# Two commands on a fresh machine: `make demo` runs the main job, `make test` runs every check.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
UV_VERSION := 0.13.9
UV := .uv/bin/uv
RUN := .venv/bin/
# What tells uv, with TORCH=cpu, where torch's build without CUDA is: PyTorch's own index, which uv knows, or --find-links FOLDER.
TORCH_FROM ?= --torch-backend cpu
# What takes longer than a few seconds says so, and that it still runs.
BEAT := $(PYTHON) tooling/beat.py
# Where `make up` listens.
PORT ?= 8765
# One thread pool per test process: two pytest workers share the machine instead of fighting for it.
TEST_JOBS ?= 2
# What the page's copy of htmx is made of.
HTMX_VERSION := 4.0.1
# Images often set it; every process of the tests would compile torch again, in twice the time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: docs help setup lock zoo names htmx demo up browser test lint types contracts pytest quick mutants fuzz bench gpu experiments notebook screenshots clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: .venv/.installed ## Build .venv from the lock file; TORCH=cpu leaves CUDA out
	@cat $<

$(UV):
	@$(BEAT) "a place for uv is made" $(PYTHON) -m venv .uv
	@$(BEAT) "uv $(UV_VERSION), which installs all else, is installed" .uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/.installed: requirements/dev.lock pyproject.toml | $(UV)
	@$(UV) venv --quiet --clear --python $(PYTHON) .venv
ifeq ($(TORCH),cpu)
	@awk '/^[a-z]/ {cuda = /^(torch|torchvision|triton|cuda-[^=]+|nvidia-[^=]+)==/} !cuda' requirements/dev.lock \
	  | $(BEAT) "all packages but torch are installed" $(UV) pip sync --quiet --python .venv --require-hashes -
	@$(BEAT) "torch without CUDA is installed" $(UV) pip install --quiet --python .venv --no-deps $(TORCH_FROM) \
	  $$(grep -oE '^torch(vision)?==[^ ]+' requirements/dev.lock)
else
	@$(BEAT) "all packages are installed, torch with CUDA among them" \
	  $(UV) pip sync --quiet --python .venv --require-hashes requirements/dev.lock
endif
	@$(BEAT) "negmerge itself is installed" \
	  $(UV) pip install --quiet --python .venv --no-deps --no-build-isolation --editable .
	@$(BEAT) "the loops of a merge of files are compiled" $(RUN)python -c "from negmerge.merging.kernels import prepare; prepare()"
	@cd .venv/lib/python3*/site-packages && shopt -s nullglob \
	  && size() { du -shc "$$@" | tail -1 | cut -f1; } \
	  && echo "$$(ls -d *.dist-info | wc -l) packages, $$(size .) in .venv" \
	    "(torch $(if $(filter cpu,$(TORCH)),without,with) CUDA: $$(size torch* triton* cuda* nvidia*))" > $(CURDIR)/$@

COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

lock: | $(UV) ## Renew the lock files from pyproject.toml
	$(COMPILE) pyproject.toml --all-extras --group dev --group guide -o requirements/dev.lock
	$(COMPILE) --constraints requirements/dev.lock --group guide -o requirements/guide.lock
	$(COMPILE) pyproject.toml --constraints requirements/dev.lock --extra worker -o requirements/runtime.lock
	$(COMPILE) pyproject.toml --constraints requirements/dev.lock --extra service --excludes requirements/api.excludes \
	  -o requirements/api.lock
	$(MAKE) --no-print-directory zoo names

zoo: setup ## Renew the list of what open_clip and timm know by name, which the API reads
	$(RUN)python -m tooling.zoo

names: setup ## Renew the lists of our merge methods and rivals, which the API reads
	$(RUN)python -m negmerge.names

htmx: ## Renew the page's copy of htmx from the npm registry
	npm pack --silent --pack-destination .uv htmx.org@$(HTMX_VERSION)
	tar -xzOf .uv/htmx.org-$(HTMX_VERSION).tgz package/dist/htmx.min.js > app/page/static/htmx.min.js

demo: setup ## Run one whole unlearning job over HTTP and print the table
	@$(RUN)python -m demo

up: setup ## Start the service on the demo's folder, for a browser or curl; PORT=8765
	@echo "http://127.0.0.1:$(PORT)/ as soon as it is ready; the key is in var/demo/service/api-key"
	@$(RUN)python -m app up --data-dir var/demo/service --port $(PORT)

browser: ## Install Debian's chromium, which the page's tests drive, where this user may
	@if [ -x /usr/bin/chromium ]; then exit; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update --quiet \
	  && apt-get install --quiet --yes --no-install-recommends chromium; then exit; \
	else echo "chromium is not installed, and could not be: the tests that drive it skip"; fi

test: browser lint types contracts pytest ## Run every check

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
	$(RUN)pytest -n $(TEST_JOBS) --dist loadscope -m "not server and not slow" --hypothesis-profile quick

docs: app/guide/site/index.html ## Build the guide, of docs/ and of the code, which the API serves at /guide

app/guide/site/index.html: mkdocs.yml $(shell find docs -type f; find app negmerge tooling -name '*.py') | setup
	NO_MKDOCS_2_WARNING=1 $(RUN)python -m mkdocs build --quiet

notebook: setup ## Run docs/notebook.ipynb again, and keep it with what it prints
	$(RUN)python -m tooling.notebook

experiments: setup ## The paper's comparison, small and real, on CIFAR-10 and digits; resumes where it was stopped
	$(RUN)python -m experiments

mutants: setup ## Which small changes of the code no test notices; ROOM=negmerge.merging for one room
	$(RUN)mutmut run --max-children $(TEST_JOBS) $(if $(ROOM),"$(ROOM)*")
	$(RUN)python -m tooling.survivors $(ROOM)

fuzz: setup ## Put broken input into every parser, a minute each; SECONDS=600 for longer, PARSER=tar for one
	$(RUN)python -m tooling.fuzz --seconds $(or $(SECONDS),60) $(PARSER)

bench: setup ## Measure speed and memory beside the published way
	$(RUN)python -m benchmarks

gpu: ## GPU tests and a table of one device's speeds, in 8 minutes; from .venv where it is there, else this machine's Python
	$(if $(wildcard .venv/.installed),$(RUN)python,$(PYTHON)) -m benchmarks.gpu

.PHONY: check-extras
check-extras: | $(UV) ## Install the base and what each image has, from nothing, and use them
	bash tests/deployment/check_extras.sh $(UV)

screenshots: setup browser docs ## Walk over the page and the tutorials: docs/screenshots, their outputs, docs/accessibility.md
	$(RUN)python -m tooling.screenshots

clean: ## Remove what was built here
	rm -rf .venv .uv .mypy_cache .ruff_cache .pytest_cache var
