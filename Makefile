# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/.ready
# Where it is set, each of the hundred processes that tests start would compile our modules anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast check lint types doctest docs bench clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 12

setup: $(READY)  ## make a virtual environment in .venv with the tested versions

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --upgrade -c constraints.txt pip
	$(BIN)/python -m pip install -qq -c constraints.txt -e '.[demo,dev,docs,export,joblib,ray,submitit,optuna,music,series,speech,chat,pronunciations]'
	touch $(READY)

demo: setup  ## train language models of three depths on the King James text, compare them, sample from the best
	$(BIN)/python experiments/demo/run.py

# In the order of the folders: the files with the fewest tests are the longest, and would come last and alone.
test: setup  ## run the tests, as many at once as there are cores, each with one thread
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder --durations=10

test-fast: setup  ## run the tests of the files that take a few seconds: about a minute on two cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile -m "not slow" -q

check: lint types doctest  ## lint, types, import contracts and doctests

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: setup
	$(BIN)/mypy

doctest: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q --doctest-modules seqlab

docs: setup  ## build the site into docs/_build/html; a warning is an error
	$(BIN)/python -m sphinx -b html -W --keep-going -q $(SPHINXOPTS) docs docs/_build/html

bench: setup  ## the engines against torch.nn, and the training step against a plain PyTorch script
	$(BIN)/seqlab bench engine --part main
	$(BIN)/seqlab bench training
	$(BIN)/seqlab bench training --precision bf16-mixed

clean:  ## remove the virtual environment and what tools have cached
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache build docs/_build *.egg-info
