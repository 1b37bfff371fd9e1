# Everything runs in a virtual environment of its own, with the versions of constraints.txt.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
# As a variable, not an option: so it binds the packages that build ours, too.
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
# Waiting threads give way to busy ones (see src/eosin/__main__.py).
export GOMP_SPINCOUNT ?= 3000
export PYTHONUTF8 := 1
# Tests run side by side, a process a core.
JOBS ?= $(shell nproc 2>/dev/null || echo 2)

.PHONY: help demo docs test test-all check check-wsinfer format lock results clean

help:
	@echo "make demo      install what is needed and run 'eosin demo' (-> runs/demo)"
	@echo "make test      install the development extras, run every check and test"
	@echo "make test-all  the same, with the slow tests"
	@echo "make docs      build the documentation as a site (-> build/docs/index.html)"
	@echo "make check     ruff, mypy, import-linter, typos"
	@echo "make check-wsinfer  install WSInfer apart, run an exported model in it, compare"
	@echo "make format    rewrite the code in the house's format"
	@echo "make lock      write base.lock: the base install with hashes"
	@echo "make clean     remove the environment and caches"

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/train.stamp: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Eosin with PyTorch into $(VENV) (a few minutes the first time)"
	$(PIP) --editable '.[train]'
	touch $@

$(VENV)/dev.stamp: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing the development extras into $(VENV) (a few minutes the first time)"
	$(PIP) --editable '.[dev]'
	touch $@

demo: $(VENV)/train.stamp
	$(BIN)/eosin demo

# Internal links and anchors are checked; a test builds it in the same way.
docs: $(VENV)/dev.stamp
	$(BIN)/sphinx-build -q -n -W --keep-going docs build/docs
	@echo "build/docs/index.html"

check: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/typos

# WSInfer in an environment of its own; the slide is in $$EOSIN_DATA/slides. WSInfer 0.6.1 cannot
# be imported with zarr 3, nor then with what needs it.
WSINFER := wsinfer 'zarr<3' 'numcodecs<0.16' 'tiffslide<3' openslide-python openslide-bin
$(VENV)/wsinfer.stamp: | $(VENV)/dev.stamp
	$(PYTHON) -m venv $(VENV)/wsinfer
	$(VENV)/wsinfer/bin/python -m pip --disable-pip-version-check install --quiet $(WSINFER)
	touch $@

check-wsinfer: $(VENV)/wsinfer.stamp
	$(BIN)/python -m benchmarks.check_wsinfer $(VENV)/wsinfer/bin/python

test: check
	$(BIN)/python -m pytest -n $(JOBS) -m "not slow" --cov --cov-report=term:skip-covered --durations=10

test-all: check
	$(BIN)/python -m pytest -n $(JOBS) --cov --cov-report=term:skip-covered --durations=20

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# In an environment of its own: pip cannot write hashes of files for other platforms.
lock:
	$(PYTHON) -m venv $(VENV)/lock
	$(VENV)/lock/bin/python -m pip --disable-pip-version-check install --quiet uv==0.13.9
	sed -n '/^#/p' base.lock > $(VENV)/base.lock
	$(VENV)/lock/bin/uv pip compile pyproject.toml --constraints constraints.txt --universal \
	  --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet >> $(VENV)/base.lock
	mv $(VENV)/base.lock base.lock

clean:
	rm -rf $(VENV) build dist .coverage .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
