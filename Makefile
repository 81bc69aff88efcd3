# The two commands of the README are `make demo` and `make test`. Both set up .venv first.

PYTHON ?= $(firstword $(shell command -v python3.11 python3.12 python3.13 python3))
PORT ?= 8500
PY := .venv/bin/python
RUN := runs/movielens-100k/two_tower

.PHONY: demo test test-slow lint clean help

help:
	@echo "make demo       train on MovieLens 100K, evaluate, export, serve, ask over gRPC"
	@echo "make test       the tests"
	@echo "make test-slow  the tests that train for real"
	@echo "make lint       ruff, mypy, import-linter"
	@echo "make clean      remove .venv, runs and exported models; keep downloads"

demo: .venv/installed
	$(PY) -m tfrec.train movielens-100k/two_tower
	$(PY) -m tfrec.evaluate $(RUN)
	$(PY) -m tfrec.export $(RUN) --output saved_models/movies
	PYTHON=$(PY) PORT=$(PORT) sh serving/demo.sh

test: .venv/installed
	$(PY) -m pytest -n 2 --dist loadfile

test-slow: .venv/installed
	$(PY) -m pytest -m slow

lint: .venv/installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

clean:
	rm -rf .venv runs saved_models/*/

.venv/installed: setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "tfrec needs Python 3.11 or newer: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --constraint constraints.txt --editable '.[test,lint]'
	@touch $@
