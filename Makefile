PYTHON ?= python3
BIN := .venv/bin
KERAS_BACKENDS := tensorflow jax torch numpy

export TF_CPP_MIN_LOG_LEVEL := 2
export TF_ENABLE_ONEDNN_OPTS := 0

.PHONY: test demo lint types unit keras golden clean

test: .venv/test lint types unit keras

demo: .venv/demo
	$(BIN)/python examples/digits.py

# Environments. A group named in pyproject.toml is installed once and again when that file changes.
.venv/bin/python:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"

.venv/demo .venv/test: .venv/%: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --group $* --editable .
	touch $@

lint: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/test
	$(BIN)/mypy

unit: .venv/test
	$(BIN)/pytest tests src README.md CONTRIBUTING.md docs --doctest-modules --doctest-glob="*.md" --ignore=tests/keras --ignore=tests/golden

# Keras chooses its backend once per process, so its tests run once per backend.
keras: .venv/test
	@set -e; for backend in $(KERAS_BACKENDS); do \
	  echo "Keras on $$backend"; KERAS_BACKEND=$$backend $(BIN)/pytest tests/keras; done

golden: .venv/test
	$(BIN)/python -m pip install --quiet mpmath==1.3.0
	$(BIN)/python tests/golden/make_golden.py

clean:
	rm -rf .venv
