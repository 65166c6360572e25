# Set-up and the commands of the project. Everything runs in .venv, which is built when it is missing or out of date.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: all smoke figures report curves test lint pytest test-extra setup bench scaling dvc dvc-commit dvc-verify publish published published-check repro unlock clean-env help

export PYTHON TORCH_INDEX PIP_ARGS
ENV := export PATH="$(CURDIR)/.venv/bin:$$PATH";
# Tests go to whichever of the two workers is free; each worker makes its own copy of the projects that tests share.
PYTEST_ARGS ?= --numprocesses 2

all: setup ## the main job at the scale of params.yaml: data, training, tables, figures
	@$(ENV) snakemake --cores 8 --resources gpu=1 all

smoke: setup ## the same chain in some minutes, results in results/smoke (numbers without meaning)
	@$(ENV) snakemake --cores 8 --config scale=smoke -- all

figures: setup ## tables, figures and pages from the results that are here, without any training
	@$(ENV) python workflow/scripts/plan.py

report: setup ## one HTML file with every figure, table, runtime and setting: results/report.html
	@$(ENV) python workflow/scripts/report.py results/report.html

curves: setup ## TensorBoard with the curves of all trainings, finished or running, until Ctrl-C (installs TensorBoard)
	@$(ENV) python -c 'import tensorboard' 2> /dev/null || pip install $(PIP_ARGS) --constraint requirements.lock 'tensorboard>=2.18'
	@$(ENV) entropic-ot curves --serve

test: setup lint pytest ## style, types, workflow and all tests but those of test-extra

lint: setup ## style, types, workflow and secrets, without tests
	$(ENV) ruff check .
	$(ENV) ruff format --check .
	$(ENV) snakefmt --check Snakefile workflow/rules
	$(ENV) mypy
	$(ENV) snakemake --lint
	$(ENV) git ls-files -z | xargs -0 detect-secrets-hook --baseline .secrets.baseline

pytest: setup ## the tests of `make test` alone
	$(ENV) python -m pytest $(PYTEST_ARGS)

test-extra: setup ## tests that take minutes or need more software (Slurm, Chromium, an S3 server); each says what it lacks and is skipped then
	$(ENV) python -m pytest -m extra -rs

bench: setup ## time the project against plain versions of the same mathematics: results/bench.csv (some eight minutes on two idle cores; see docs/performance.md)
	@$(ENV) python benchmarks/run.py $(BENCH_ARGS)

scaling: setup ## seconds and memory of a training step against dimension, batch, steps and epsilon: results/scaling.csv (minutes)
	@$(ENV) python benchmarks/scaling.py

setup: ## build or update .venv and nothing else
	@scripts/setup.sh

repro: setup ## the same jobs, run and judged by DVC, one after another
	@$(ENV) python workflow/scripts/snake2dvc.py --check && dvc repro

dvc: setup ## regenerate dvc.yaml after a change of params.yaml's experiments or of the rules
	@$(ENV) python workflow/scripts/snake2dvc.py

dvc-commit: setup ## after `make all`: tell DVC about the results (and dvc.yaml about the experiments that ran), so that `dvc push` shares them
	@$(ENV) python workflow/scripts/plan.py --check && python workflow/scripts/snake2dvc.py && dvc commit --force && dvc status

dvc-verify: setup ## read all of DVC's cache and name the objects that a disk has damaged
	@$(ENV) python workflow/scripts/verify_cache.py

publish: setup ## at a release, after `make all`: fill the store inside the repository (published/, at most 40 MiB)
	@$(ENV) python workflow/scripts/plan.py --check && python workflow/scripts/snake2dvc.py && dvc commit --force --quiet && python workflow/scripts/published.py fill $(PUBLISH_ARGS)

published: setup ## bring what the stores have (dvc pull), write the pages of results without any training, and list what is here
	@$(ENV) dvc pull && python workflow/scripts/plan.py --published && entropic-ot summary

published-check: setup ## is the store inside the repository whole, and of these sources, parameters and rules?
	@$(ENV) python workflow/scripts/published.py check

unlock: setup ## when Snakemake says that the folder is locked and no other Snakemake runs
	@$(ENV) snakemake --unlock

clean-env: ## delete .venv; the next command builds it anew
	rm -rf .venv

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '%s\n' '' 'Variables, as in make all PYTHON=python3.12:' \
	'  PYTHON       the Python 3.11 or 3.12 to build .venv with (default: the first one found)' \
	'  TORCH_INDEX  package index to take torch and torchvision from. The public wheels bring several GB of CUDA' \
	'               packages; on a machine without a GPU name the CPU index that the PyTorch site gives for pip' \
	'  BENCH_ARGS   options of benchmarks/run.py, such as --quick or --only CASE' \
	'  PUBLISH_ARGS options of `make publish`: --allow-edited takes runs of sources that were not committed' \
	'  PIP_ARGS     options for every pip call, such as --index-url or --proxy'
