PYTHON ?= python3
BIN := .venv/bin
AS_ROOT := $(if $(filter-out 0,$(shell id -u)),sudo)
KERAS_BACKENDS := tensorflow jax torch numpy

export TF_CPP_MIN_LOG_LEVEL := 2
export TF_ENABLE_ONEDNN_OPTS := 0
# Waiting OpenMP threads sleep, because test processes run side by side.
export OMP_WAIT_POLICY := passive
# A missing or failing compiler is an error here; by default the package would install without its kernels.
export FOCAL_LOSS_REQUIRE_NATIVE := 1

.PHONY: test test-base test-compat nightly demo bench bench-check bench-gpu gpu-budget operations lint types unit formula gpu keras picture golden doors pages tables docs test-docs ulp sanitize huge clean

# Single-process targets run side by side; the others start as many processes as there are processors.
test: .venv/test .venv/browser .venv/gpu lint
	$(MAKE) --no-print-directory -j 2 --output-sync=target types keras docs
	$(MAKE) --no-print-directory unit formula gpu

# NumPy and pytest alone: what the core, the kernels and the rules of the code are tested with. `make test` has the
# calls like earlier ones, of which there are thousands, as well.
test-base: .venv/base
	$</bin/pytest -n auto --dist worksteal --libraries numpy tests src/focal_loss/_core src/focal_loss/_host \
	  --doctest-modules --ignore=tests/golden --ignore=tests/test_repeated.py

# First the tests that `make test` leaves out, then all tests without the kernels, except those of the kernels themselves.
# The cache on the disk is another one: code that torch compiled with the kernels calls them.
nightly: .venv/test .venv/browser
	$(BIN)/pytest -n auto --dist worksteal -m nightly tests --ignore=tests/keras --ignore=tests/gpu --ignore=tests/compat \
	  --ignore=tests/site
	FOCAL_LOSS_ISA=formula TORCHINDUCTOR_CACHE_DIR=$(CURDIR)/build/inductor-formula \
	  $(BIN)/pytest -n auto --dist worksteal -m "" tests \
	  --ignore=tests/keras --ignore=tests/gpu --ignore=tests/golden --ignore=tests/compat --ignore=tests/site \
	  --ignore=tests/test_native.py --ignore=tests/test_torch_native.py --ignore=tests/test_threads.py
	FOCAL_LOSS_ISA=formula $(MAKE) --no-print-directory -j 2 --output-sync=target keras MARKED='-m ""'

demo: .venv/demo
	$(BIN)/focal-loss demo --force --out build/demo/fit
	$(BIN)/python examples/table.py
	$(BIN)/python examples/digits.py
	$(BIN)/python examples/detector.py

bench: .venv/bench
	PYTHONPATH=.venv/bench $(BIN)/python benchmarks/run.py

# Fails if something has lost more than 15 % beside its rival since the last `make bench` on this kind of machine.
bench-check: .venv/bench
	PYTHONPATH=.venv/bench $(BIN)/python benchmarks/run.py --check

# For a machine with a GPU, and a build of torch for it in the environment.
bench-gpu: .venv/bench .venv/gpu
	PYTHONPATH=.venv/gpu:.venv/bench $(BIN)/python benchmarks/gpu.py

# Needs no GPU: it reads the machine code.
gpu-budget: .venv/gpu
	PYTHONPATH=.venv/gpu $(BIN)/python benchmarks/gpu_budget.py

# The operations that XLA runs, from its optimised programs.
operations: .venv/test
	$(BIN)/python benchmarks/operations.py

# Environments. A group of pyproject.toml is installed, and the kernels are compiled, once and again when their sources
# change. An editable install remembers which modules are packages.
PARTS := pyproject.toml CMakeLists.txt $(wildcard native/* src/focal_loss/*/__init__.py src/focal_loss/*/*/__init__.py)
.venv/bin/python:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"

.venv/demo .venv/test: .venv/%: .venv/bin/python $(PARTS)
	$(BIN)/python -m pip install --quiet --group $* --editable .
	touch $@

# An environment of its own, beside which nothing else is installed.
.venv/base: $(PARTS)
	$(PYTHON) -m venv $@
	$@/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$@/bin/python -m pip install --quiet --group base --editable .
	touch $@

include tools/versions.mk

# torchvision has no build for the CPU alone; its focal loss is Python and needs nothing of the rest. It has a folder of
# its own, because libraries of the tests import it if they find it, and fail.
.venv/bench: .venv/test
	$(BIN)/python -m pip install --quiet --no-deps --target $@ torchvision==0.29.2
	touch $@

# The browser that the tests of the report drive.
.venv/browser: .venv/bin/python
	command -v chromium || { $(AS_ROOT) apt-get update && $(AS_ROOT) apt-get install -y --no-install-recommends chromium; }
	touch $@

lint: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/test
	$(BIN)/mypy

unit: .venv/test .venv/browser
	$(BIN)/pytest -n auto --dist worksteal tests src README.md CONTRIBUTING.md docs --doctest-modules --doctest-glob="*.md" \
	  --ignore=tests/keras --ignore=tests/gpu --ignore=tests/golden --ignore=tests/compat \
	  --ignore=src/focal_loss/torch/_triton --ignore=src/focal_loss/torch/_cuda.py \
	  --ignore=tests/site --ignore=docs/conf.py --ignore=docs/_ext --ignore=docs/gallery

# The golden numbers without the kernels, as on a GPU, under XLA or without a compiler. JAX and TensorFlow, which compile
# or dispatch each step, compute them only in float32; `make nightly` has their other dtypes and limits.
formula: .venv/test
	FOCAL_LOSS_ISA=formula $(BIN)/pytest -n auto --dist worksteal tests/test_numbers.py tests/test_majorizer.py \
	  -k "not (jax or tensorflow) or golden and float32"

# Triton crashes beside TensorFlow in one process, so it is installed in a folder of its own, and its tests run in a
# process of their own: by Triton's interpreter, on the CPU. With a GPU, `make gpu INTERPRET=0` runs them there.
INTERPRET ?= 1

.venv/gpu: .venv/test
	$(BIN)/python -m pip install --quiet --no-deps --target $@ triton==3.7.1
	touch $@

gpu: .venv/gpu
	TRITON_INTERPRET=$(INTERPRET) PYTHONPATH=.venv/gpu $(BIN)/pytest -n auto --dist worksteal tests/gpu

# The libraries whose calls `focal_loss.torch.compat` takes over, without what their losses do not need, and polars, which
# is large.
.venv/compat: .venv/test
	$(BIN)/python -m pip install --quiet --no-deps --target $@ fvcore==0.1.5.post20221221 iopath==0.1.10 \
	  portalocker==4.4.2 yacs==0.1.8 tabulate==0.10.0 termcolor==3.3.0 pyyaml==6.0.4 kornia==0.9.0 kornia_rs==0.2.0 \
	  monai==1.6.1 polars==2.1.0 polars-runtime-32==2.1.0
	touch $@

test-compat: .venv/compat
	PYTHONPATH=.venv/compat $(BIN)/pytest -W ignore tests/compat

# Keras chooses its backend once per process, so its tests run once per backend.
KERAS := $(addprefix keras-,$(KERAS_BACKENDS))
.PHONY: $(KERAS)
keras: $(KERAS)
$(KERAS): keras-%: .venv/test
	KERAS_BACKEND=$* $(BIN)/pytest $(MARKED) tests/keras

# Photographs the page of a report.
picture: .venv/test .venv/browser
	$(BIN)/python tests/report/make_picture.py

golden: .venv/test
	$(BIN)/python -m pip install --quiet mpmath==1.3.0
	$(BIN)/python tests/golden/make_golden.py
	$(BIN)/python tests/golden/make_smoothed.py
	$(BIN)/python tests/golden/make_extremes.py
	$(BIN)/python tests/golden/make_family.py
	$(BIN)/python tests/golden/make_majorizer.py
	$(BIN)/python tests/golden/make_posterior.py
	$(BIN)/python tests/golden/make_training.py
	$(BIN)/python tests/golden/make_family_posterior.py

# The functions and classes of every framework, from the losses in src/focal_loss/_core/losses.
doors: .venv/test
	$(BIN)/python tools/doors.py

# The pages and pictures of the losses in docs/.
pages: .venv/test
	$(BIN)/python tools/pages.py

# The site, in build/site. Its programs have a folder of their own, so that no test imports them.
.venv/docs: .venv/test
	rm -rf $@
	$(BIN)/python -m pip install --quiet --target $@ --group docs
	touch $@

docs: .venv/docs
	PYTHONPATH=.venv/docs $(BIN)/python tools/website.py

# The site in a browser.
test-docs: docs .venv/browser
	$(BIN)/pytest tests/site

# The constants that C++, Triton and Python share.
tables: .venv/test
	$(BIN)/python tools/tables.py

# Programs in C++; they need CMake and g++, but not Python.
ISA ?= x86-64-v4
STRIDE ?= 1
FUNCTIONS := functions_$(subst -,_,$(ISA))

ulp:
	cmake -S . -B build/ulp -DFOCAL_LOSS_TESTS=ON
	cmake --build build/ulp --target ulp $(FUNCTIONS)
	build/ulp/native/tests/$(FUNCTIONS)
	build/ulp/native/tests/ulp $(ISA) --stride $(STRIDE)

# Two builds: the undefined-behavior sanitizer prevents the vector loops whose ends the address sanitizer checks.
sanitize:
	@set -e; for checks in address undefined,float-cast-overflow; do \
	  cmake -S . -B build/$$checks -DFOCAL_LOSS_TESTS=ON -DCMAKE_BUILD_TYPE=None \
	    -DCMAKE_CXX_FLAGS="-O1 -g1 -fsanitize=$$checks -fno-sanitize-recover=all"; \
	  cmake --build build/$$checks --parallel --target sanitize; build/$$checks/native/tests/sanitize; done

# The programs of `ulp` and `sanitize` for another machine, by an emulator where this one does not run them. What each
# needs is in native/toolchains/. `cross` is all three.
PLATFORMS := aarch64 windows musl
CROSS := $(addprefix cross-,$(PLATFORMS))

.PHONY: cross $(CROSS)
cross: $(CROSS)
cross-musl: .venv/zig
$(CROSS): export PATH := $(CURDIR)/.venv/zig/bin:$(PATH)
$(CROSS): cross-%:
	cmake -S . -B build/$* -DFOCAL_LOSS_TESTS=ON -DCMAKE_TOOLCHAIN_FILE=native/toolchains/$*.cmake
	cmake --build build/$* --target all_tests
	WINEDEBUG=-all ctest --test-dir build/$* --output-on-failure
.venv/zig:
	$(PYTHON) -m venv $@
	$@/bin/python -m pip install --quiet ziglang==0.17.1

# An array of more than 2^31 elements; 11 GiB of memory.
huge: .venv/test
	$(BIN)/python native/tests/huge.py

clean:
	rm -rf .venv build docs/gallery docs/reference
