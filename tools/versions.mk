# The tests that need no framework but one, in an environment of its own: with the lowest versions that pyproject.toml
# promises, with those that it pins, with the newest, or with the newest before their release. PyPI's torch for Linux
# brings CUDA, of some gigabytes; `UV_TORCH_BACKEND=cpu` takes the build for the CPU.
VERSIONS := lowest pinned newest prerelease
FRAMEWORKS := numpy torch jax tensorflow keras boosters
EXTRAS_torch := [torch]
EXTRAS_jax := [jax]
EXTRAS_tensorflow := [tensorflow]
EXTRAS_keras := [keras,tensorflow]
EXTRAS_boosters := [cli,xgboost,catboost,sklearn,onnx]
GROUPS_torch := torch
GROUPS_jax := jax
GROUPS_tensorflow := tensorflow
GROUPS_keras := keras tensorflow
GROUPS_boosters := boosters
INSTALLED_lowest = --resolution lowest-direct --editable ".$(EXTRAS_$1)"
INSTALLED_pinned = $(addprefix --group ,$(GROUPS_$1)) --editable .
INSTALLED_newest = --upgrade --editable ".$(EXTRAS_$1)"
INSTALLED_prerelease = --upgrade --prerelease allow --editable ".$(EXTRAS_$1)"
OTHERS := --ignore=tests/golden --ignore=tests/gpu --ignore=tests/compat --ignore=tests/keras
ONE_numpy := --libraries numpy tests --ignore=tests/test_repeated.py $(OTHERS)
ONE_torch := --libraries torch tests -k torch $(OTHERS)
ONE_jax := --libraries jax tests -k jax $(OTHERS)
ONE_tensorflow := --libraries tensorflow tests -k tensorflow $(OTHERS)
ONE_keras := --libraries keras,tensorflow tests/keras
ONE_boosters := tests/boosting tests/cli --libraries \
  lightgbm,xgboost,catboost,sklearn,scipy,pandas,pyarrow,optuna,rich,jinja2,matplotlib,onnx
# Old versions use what others have deprecated since.
WARNINGS_lowest := -W ignore::DeprecationWarning -W ignore::FutureWarning

define at_versions
.PHONY: test-$1 $(addprefix test-$1-,$(FRAMEWORKS))
test-$1: $(addprefix test-$1-,$(FRAMEWORKS))
$(addprefix test-$1-,$(FRAMEWORKS)): test-$1-%: .venv/$1-%
	$$</bin/pytest -n auto --dist worksteal $$(ONE_$$*) $(WARNINGS_$1)
$(addprefix .venv/$1-,$(FRAMEWORKS)): .venv/$1-%: $(PARTS)
	$(PYTHON) -m venv $$@
	$$@/bin/python -m pip install --quiet uv==0.13.9
	$$@/bin/uv pip install --quiet --python $$@/bin/python --group base $$(call INSTALLED_$1,$$*)
	touch $$@
endef
$(foreach version,$(VERSIONS),$(eval $(call at_versions,$(version))))
