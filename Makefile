# Needs Python 3.11 or newer; everything else is set up here. On Windows use the commands that
# the README gives, they are the same without make.

PYTHON ?= python3
BASE := .venv-demo
DEV := .venv
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help demo test lint format bench docs bundles clean

help:  ## Show what can be made
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(BASE)/ready  ## The whole way on a scan the program makes itself (no torch)
	$(BASE)/bin/diaphane demo --out out/demo

test: $(DEV)/ready  ## All tests; those that need absent data or programs skip and say why
	OMP_NUM_THREADS=1 $(DEV)/bin/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(DEV)/ready  ## Style and types
	$(DEV)/bin/ruff check .
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/mypy

format: $(DEV)/ready  ## Put the code in order
	$(DEV)/bin/ruff check --fix .
	$(DEV)/bin/ruff format .

bench: $(DEV)/ready  ## Measure against the tools a user would pick instead (long)
	$(DEV)/bin/python benchmarks/run.py $(ARGS)

docs: $(DEV)/ready  ## Build the documentation into site/
	$(DEV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt -e '.[docs]'
	$(DEV)/bin/typer diaphane.cli utils docs --name diaphane --output docs/reference/cli.md
	$(DEV)/bin/mkdocs build --strict

bundles: $(DEV)/ready  ## Train the shipped bundles again (DATA=folder with the three data sets)
	@test -n "$(DATA)" || { echo "Say where the data sets are: make bundles DATA=FOLDER"; exit 2; }
	$(DEV)/bin/diaphane train $(DATA)/lidc_nodules --plan recipes/lung-nodule.yaml --out out/lung-nodule
	$(DEV)/bin/diaphane train $(DATA)/breastmnist/breastmnist.npz --plan recipes/breastmnist-28.yaml --out out/breastmnist-28
	$(DEV)/bin/diaphane train $(DATA)/msd_hippocampus --plan recipes/hippocampus.yaml --out out/hippocampus
	@echo "The bundles are in out/NAME/bundle; their home is src/diaphane/bundle/shipped/NAME."

clean:  ## Remove what was made
	rm -rf $(BASE) $(DEV) out build dist site

$(BASE)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(BASE)
	$(BASE)/bin/python $(PIP_INSTALL) -e .
	touch $@

$(DEV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(DEV)
	$(DEV)/bin/python $(PIP_INSTALL) -e '.[learn,test,lint]'
	touch $@
