# make demo   build the environment, then run the main job: a consortium from notice to audited model
# make test   build the environment, then run every check
# make format rewrite the code in the house style
# make clean  remove what these targets made (the environment; never a workspace)

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

# Where an index offers a CPU build of torch, take it first: the default build pulls gigabytes of CUDA that nothing here
# needs. 2.13.0 satisfies the range in pyproject.toml, so nothing is replaced afterwards. pip finds that build where its
# own settings name one; the rest is installed by uv, in a tenth of the time.
TORCH  ?= torch==2.13.0

# More processes than cores: tests of services wait for much of their time. Each file runs in one process.
JOBS   ?= 4

export OMP_NUM_THREADS ?= 1
# Whatever the environment says: demo and tests start many processes, each of which would compile every module anew.
export PYTHONDONTWRITEBYTECODE =
export FLWR_TELEMETRY_ENABLED ?= 0
export RAY_USAGE_STATS_ENABLED ?= 0

.PHONY: demo test checks lint types imports pytest format clean

demo: $(STAMP)
	$(BIN)/tahini demo $(ARGS)

test: $(STAMP)
	@$(MAKE) --no-print-directory --jobs=2 checks

checks: lint types imports pytest

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

pytest: $(STAMP)
	$(BIN)/pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tahini needs Python 3.11 or newer; set PYTHON=…")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check uv "$(TORCH)"
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --editable ".[dev]"
	@touch $(STAMP)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
