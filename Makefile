# Everything a day's work needs. Each target sets up .venv by itself; no root, no other tool than python3 (3.11 or newer).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Bytecode is kept, whatever the environment says: without it each worker compiles every test again, a third of the whole time.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest
WORKERS ?= auto

# What is run with COMPILED=1 has sip, media and phone as machine code, as it is in the wheels (see setup.py). It needs a C compiler.
COMPILED ?=
BUILT := build/compiled/.ready
NEEDED := $(READY) $(if $(filter 1,$(COMPILED)),$(BUILT))
ifeq ($(COMPILED),1)
export PYTHONPATH := $(CURDIR)/build/compiled
endif

.DEFAULT_GOAL := help
.PHONY: help wheel run test slow random simulate fuzz lint fix interop windows winfast winlive bench docs clean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 16

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than 3.11: run  make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "cannot make $(VENV): on Debian and Ubuntu install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

$(BUILT): setup.py pyproject.toml $(shell find src/offhook -name '*.py') | $(READY)
	@echo "compiling, which takes some minutes; the wheel is put into dist/"
	@rm -rf build dist
	OFFHOOK_COMPILE=1 $(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-build-isolation --no-deps --wheel-dir dist .
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target build/compiled dist/*.whl
	@touch $@

wheel: $(BUILT) ## the wheel with compiled rooms, into dist/; COMPILED=1 with run, test, slow, random, simulate, interop or bench runs that

run: $(NEEDED) ## start a phone with a practice exchange to call
	@$(BIN)/python -m offhook.app $(ARGS)

test: $(NEEDED) ## the fast suite: no network beyond loopback, no system packages
	$(PYTEST) -q -n $(WORKERS) -m "not interop and not sound and not windows and not slow and not lengthy" $(ARGS)

slow: $(NEEDED) ## what takes longer: sound in real time, phones that are killed, hours of virtual time
	$(PYTEST) -q -n $(WORKERS) -m "(slow or lengthy) and not interop and not sound and not windows" $(ARGS)

random: $(NEEDED) ## the tests that make up their own input, with five times as much of it
	$(PYTEST) -q -n $(WORKERS) -m "hypothesis and not interop and not sound and not windows" --hypothesis-profile=ci $(ARGS)

fuzz: $(READY) ## whatever strangers may send, driven by coverage (atheris) or by chance; ARGS="--seconds 600 sip_message"
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	PYTHONHASHSEED=0 $(BIN)/python tests/fuzz/fuzzing.py $(ARGS)

SEEDS ?= 2000
simulate: $(NEEDED) ## phones, exchanges and a hostile network in virtual time: SEEDS=2000 storms
	PYTHONHASHSEED=0 $(BIN)/python -m offhook.testing.simulation --seeds 1-$(SEEDS) $(ARGS)

lint: $(READY) ## style, types, layers, generated pages up to date
	$(BIN)/ruff check .
	$(BIN)/mypy
	@$(BIN)/mypy --platform win32 --cache-dir .mypy_cache/win32 --exclude "testing/(peers|windows)\.py" src
	$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m offhook.control.generated --check
	@$(BIN)/python -m offhook.storage.config.reference | diff -u docs/configuration.md - || { echo "docs/configuration.md is old: run  make docs"; exit 1; }
	@$(BIN)/python -m offhook.api.twin | diff -u src/offhook/sync.py - || { echo "offhook/sync.py is old: run  make docs"; exit 1; }

fix: $(READY) ## mend what ruff can mend
	$(BIN)/ruff check --fix .

interop: $(NEEDED) ## calls with SIPp, baresip, linphone, Jami, Kamailio and rtpengine, a browser, Node.js, a sound server (system packages)
	$(PYTEST) -q -n 2 --dist loadfile -m "(interop or sound) and not windows" $(ARGS)

windows: winfast winlive ## the phone as a Windows program, under Wine (system packages): the fast suite, then calls, sound, window, DDE

winfast: $(READY)
	$(BIN)/python -m offhook.testing.windows --within 600 -m pytest -q -n 2 --capture=sys --hypothesis-profile=few \
	  -o cache_dir=.pytest_cache/windows -m "not interop and not sound and not windows and not slow" $(ARGS)

# Where no test is found this fails (pytest ends with 5): nothing has been seen to work then.
winlive: $(READY)
	$(PYTEST) -q -m windows tests/windows $(ARGS)

bench: $(NEEDED) ## measure the phone beside its peers; writes bench/RESULTS.md
	$(BIN)/python bench/run.py $(ARGS)

docs: $(READY) ## write what is generated: pages, OpenAPI, AsyncAPI, JSON Schema, the Node.js client's types, the synchronous twin
	$(BIN)/python -m offhook.control.generated
	$(BIN)/python -m offhook.storage.config.reference > docs/configuration.md.new && mv docs/configuration.md.new docs/configuration.md
	$(BIN)/python -m offhook.api.twin > src/offhook/sync.py.new && mv src/offhook/sync.py.new src/offhook/sync.py

clean: ## remove everything that can be made again
	rm -rf $(VENV) build dist run .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf src/*.egg-info
