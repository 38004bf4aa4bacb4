# Everything is done by `make book` and `make test`, set-up included.
#
#   PYTHON=python3.12   the interpreter that creates the environment (default: python3; 3.11 or newer)
#   VENV=path           the environment (default: .venv). One that exists is used as it is: what it
#                       already holds and constraints.txt allows, torch for example, is kept.
#   TORCH=cpu           take torch from https://download.pytorch.org/whl/cpu: on Linux, no CUDA
#                       libraries (gigabytes) are downloaded. Only read while torch is not installed.
#   NOTEBOOKS="a b"     the notebooks for `make execute` (default: every one in book/)
#   PORT=8000           the port for `make serve`

PYTHON ?= python3
VENV ?= .venv
NOTEBOOKS ?= $(shell find book -name '*.ipynb' -not -path '*/.*' | sort)
PORT ?= 8000

BIN := $(VENV)/bin
STAMP := $(VENV)/.rnnbook-installed
INDEX := $(if $(TORCH),--extra-index-url https://download.pytorch.org/whl/$(TORCH))

# The stamp holds the folder it was written for: an environment shared with another checkout is
# installed again.
ifneq ($(shell cat "$(STAMP)" 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif

.PHONY: help setup book pdf serve test execute handouts bench clean
.DEFAULT_GOAL := help

help:  ## print these lines
	@grep -hE '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):.*## */  make \1\t/' | expand -t 18
	@echo && sed -n 's/^#  //p' Makefile

setup: $(STAMP)  ## create the environment and install (the others do this first)
	@echo "$(VENV) is ready, nothing to install."

book: setup  ## build the website in _build/html from the committed notebooks; nothing is executed
	@$(BIN)/jupyter-book build -W -n --keep-going . || { rm -rf _build/.doctrees; exit 1; }
	@echo "Open $(CURDIR)/_build/html/index.html (or run: make serve)"

pdf: setup  ## the whole book in one file, _build/latex/rnnbook.pdf (needs TeX and rsvg-convert: see CONTRIBUTING.md)
	$(BIN)/jupyter-book build --builder pdflatex .

serve: book  ## build, then serve the website at http://localhost:8000
	@echo "Serving at http://localhost:$(PORT) (Ctrl-C stops)"
	@$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

# Two workers and one thread each: NumPy and torch would otherwise fight for the same cores.
test: export OMP_NUM_THREADS = 1
test: setup  ## style, types, unit tests, every notebook executed and compared, the built site in a browser
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 tests --ignore tests/test_site.py
	$(BIN)/python -m pytest -n 2 --dist loadfile --nbval --nbval-current-env book
	@$(MAKE) --no-print-directory book
	$(BIN)/python -m pytest -n 2 tests/test_site.py

execute: setup  ## execute the notebooks and store their outputs in place
	$(BIN)/jupyter nbconvert --to notebook --inplace --execute \
	  --ExecutePreprocessor.record_timing=False \
	  --ClearMetadataPreprocessor.enabled=True \
	  --ClearMetadataPreprocessor.clear_cell_metadata=False \
	  --ClearMetadataPreprocessor.preserve_nb_metadata_mask="{('kernelspec',), ('language_info', 'name')}" $(NOTEBOOKS)

handouts: setup  ## the notebooks without the solutions of their exercises, for a class: _build/handouts
	@$(BIN)/python book/handouts.py

bench: setup  ## time the layers from scratch against torch.nn on this machine: book/results/speed.json (15 minutes)
	$(BIN)/python benchmarks/speed.py

clean:  ## remove the site and caches; the environment and the checkpoints of experiments stay
	rm -rf _build/html _build/handouts _build/.doctrees _build/jupyter_execute .pytest_cache .ruff_cache .mypy_cache .hypothesis

# Python 3.11 or newer with venv and pip; an environment that exists answers for itself.
$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || command -v $(PYTHON) >/dev/null || { \
	  echo "$(PYTHON) not found. Install Python 3.11 or newer, or name it: make PYTHON=/path/to/python3.12"; exit 1; }
	@python=$$(test -x $(BIN)/python && echo $(BIN)/python || echo $(PYTHON)); \
	  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$$python is $$($$python --version 2>&1): expected 3.11 or newer. Name a newer one: make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot create environments. On Debian and Ubuntu: sudo apt install python3-venv"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@if [ -z "$(TORCH)" ] && [ "$$(uname)" = Linux ] && ! command -v nvidia-smi >/dev/null \
	    && ! $(BIN)/python -c 'import torch' 2>/dev/null; then \
	  echo "No NVIDIA GPU here. Should pip start to download CUDA libraries (gigabytes that torch cannot use here),"; \
	  echo "press Ctrl-C and add TORCH=cpu to the command; see the first lines of the Makefile."; fi
	$(BIN)/python -m pip install -c constraints.txt $(INDEX) -e '.[book,test]'
	@printf %s "$(CURDIR)" > $(STAMP)
