# The same few commands by hand and in CI. Each target does the set-up it needs; a second time that is quick.
#
#   make demo             caption the example pairs, write demo/index.html
#   make test             lint, formatting, types, tests
#   make install PYTHON=python3.12      with another Python (3.11 or later)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORE := $(VENV)/.core
ALL := $(VENV)/.all

.DEFAULT_GOAL := help
.PHONY: help install demo test lint format

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1: /p' Makefile | awk -F': ' '{printf "  %-9s%s\n", $$1, $$2}'

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "sencap needs Python 3.11 or later; this is " + sys.version.split()[0] + ". Say make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(CORE): pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --editable .
	touch $@

$(ALL): pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --editable '.[dev]'
	touch $@ $(CORE)

install: $(ALL) ## make .venv with sencap, PyTorch and all tools (about 7.5 GB, once)

demo: $(CORE) ## caption the example pairs and write a page of pictures into demo/ (without PyTorch)
	$(BIN)/sencap demo --out demo

lint: install ## lint, formatting, types and directions of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: lint ## lint, formatting, types, directions of imports, and tests
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto

format: install ## put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
