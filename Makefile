# Everything runs in .venv, which the first target that needs it sets up.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# Bytecode is kept, whoever asks for none: without it, every process takes 9 s more to import torch and TRL.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check bench corpus screenshots

demo: $(READY)  ## a small study on the built-in task, on a laptop's CPU
	$(BIN)/autotune study start --dir autotune-runs/demo-$$(date +%Y%m%d-%H%M%S)

# Two at a time: whole files, whose tests share what takes long to set up, and those with the longest tests first.
test: $(READY)
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "not gpu and not network"

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(MAKE) test

corpus: $(READY)  ## how right the rules are on recorded runs with labels
	$(BIN)/python tests/corpus/table.py

screenshots: $(READY)  ## the pictures of the monitor in docs/images
	$(BIN)/python docs/images/make.py

bench: $(READY)
	set -e; for bench in tests/benchmarks/bench_*.py; do $(BIN)/python $$bench; done

.venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "autotune needs Python 3.11 or newer; say which with: make PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv .venv

$(READY): pyproject.toml constraints.txt | .venv
	# --no-compile: bytecode of what is imported is made then; that of all of torch and transformers takes half a minute
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[dev]'
	@touch $(READY)
