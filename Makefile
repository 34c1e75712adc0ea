PYTHON ?= python3
BIN := .venv/bin
KERAS_BACKENDS := tensorflow jax torch numpy

export TF_CPP_MIN_LOG_LEVEL := 2
export TF_ENABLE_ONEDNN_OPTS := 0
# Here a compiler that is missing or fails is an error; by itself the package would install without its kernels.
export FOCAL_LOSS_REQUIRE_NATIVE := 1

.PHONY: test demo bench lint types unit keras golden clean

test: .venv/test lint types unit keras

demo: .venv/demo
	$(BIN)/python examples/digits.py

bench: .venv/bench
	$(BIN)/python benchmarks/run.py

# Environments. A group named in pyproject.toml is installed, and the kernels are compiled, once and again when what
# they are made of changes.
.venv/bin/python:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"

.venv/demo .venv/test: .venv/%: .venv/bin/python pyproject.toml CMakeLists.txt $(wildcard native/*)
	$(BIN)/python -m pip install --quiet --group $* --editable .
	touch $@

# torchvision has no build for the CPU alone; its focal loss is Python and needs nothing of the rest.
.venv/bench: .venv/test
	$(BIN)/python -m pip install --quiet --no-deps torchvision==0.29.2
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
	rm -rf .venv build
