# make demo   train, predict, evaluate and report on the bundled images
# make test   every check: format, lint, types, import contracts, doctests, tests
# make bench  speed beside other libraries       make docs   the documentation site
#
# The first call creates .venv and installs what it needs; later calls start at once.
#   PYTHON=python3.12   another interpreter (3.11 or newer)
#   TORCH_INDEX=URL     a wheel index for torch alone, such as a CPU-only one

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt
TORCH  := $(shell grep '^torch==' constraints.txt)
export PYTHONWARNINGS ?= default
# Two test processes with two threads each would take turns on two cores, several times slower.
test test-fast: export OMP_NUM_THREADS ?= 1

.PHONY: help demo test test-fast bench docs install clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# \{0,1\}//p;/^$$/q' Makefile

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) is not there; install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is $$($(PYTHON) -V 2>&1); shapewright needs Python 3.11 or newer: make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "error: $(PYTHON) has no venv module; on Debian or Ubuntu: apt install python3-venv"; exit 1; }
	@echo "creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)

# torch comes first and alone, so that nothing else can pull in another build of it.
$(VENV)/.torch: constraints.txt | $(BIN)/python
	@echo "installing $(TORCH)"
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	@touch $@

$(VENV)/.base: $(VENV)/.torch pyproject.toml
	@echo "installing shapewright"
	@$(PIP) --editable .
	@touch $@

$(VENV)/.with-%: $(VENV)/.base
	@echo "installing shapewright[$*]"
	@$(PIP) --editable '.[$*]'
	@touch $@

install: $(VENV)/.base

demo: $(VENV)/.base
	@$(BIN)/shapewright demo --out demo

test: $(VENV)/.with-dev
	@echo "== format"    && $(BIN)/ruff format --check .
	@echo "== lint"      && $(BIN)/ruff check .
	@echo "== contracts" && $(BIN)/lint-imports --no-cache
	@echo "== types"     && $(BIN)/mypy
	@echo "== tests"     && $(BIN)/pytest --numprocesses 2 --dist worksteal

test-fast: $(VENV)/.with-dev
	@$(BIN)/pytest -m "not slow" --numprocesses 2 --dist worksteal

bench: $(VENV)/.with-bench
	@$(BIN)/python benchmarks/run.py

docs: $(VENV)/.with-docs
	@$(BIN)/python scripts/build_docs.py

clean:
	rm -rf $(VENV) build dist site *.egg-info src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
