# Needs Python 3.11+ with pip, Node 20.19+ with npm and make; nothing is installed outside this directory. Everything else comes
# from requirements/*.txt, pinned by version and hash: uv into .tools/, the environment into .venv/.
#
# Pass options on with ARGS:   make run ARGS='--port 9000'   make test ARGS='-x tests/sse'
# Choose another Python with:  make run PYTHON=python3.13

PYTHON ?= python3
ARGS ?=

UV := .tools/venv/bin/uv
BIN := .venv/bin

# Which interpreter is used is said by PYTHON alone, and uv asks the package index that pip is set to.
export UV_PYTHON_DOWNLOADS := never
uv = UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$$($(PYTHON) -m pip config get global.index-url 2>/dev/null)}}" $(UV)
sync = $(uv) pip sync --quiet --python $(BIN)/python --require-hashes
editable = $(uv) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
compile = $(uv) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command 'make lock' $(ARGS)

# The pages: what is served, and what it is built from.
PAGES := src/tailrace/app/static/index.html
PAGES_FROM := ui/index.html ui/vite.config.ts ui/tsconfig.json $(shell find ui/src ui/public -type f)

define require_python
@command -v $(PYTHON) >/dev/null || { echo "Tailrace needs Python 3.11 or newer, and '$(PYTHON)' was not found: set PYTHON=/path/to/python" >&2; exit 1; }
@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "Tailrace needs Python 3.11 or newer, and $(PYTHON) is %d.%d: set PYTHON=/path/to/python" % (v[0], v[1]))'
endef

define require_npm
@command -v npm >/dev/null || { echo "Tailrace needs Node 20.19 or newer with npm, and 'npm' was not found" >&2; exit 1; }
endef

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run ui test check format bench build lock clean

help: ## say what each target does
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r target text; do printf 'make %-8s %s\n' "$$target" "$$text"; done

run: .venv/.run $(PAGES) ## start Tailrace with a local model on http://127.0.0.1:8080
	@exec $(BIN)/tailrace up $(ARGS)

ui: $(PAGES) ## build the pages into src/tailrace/app/static

test: .venv/.dev .clients/.python .clients/.npm .clients/.browser $(PAGES) ## run the tests
	npm test --silent --prefix ui
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile $(ARGS)

check: .venv/.dev ui/node_modules/.installed ## check format, lint, types, import rules and the layout of the tree
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	npm run --silent --prefix ui check
	$(BIN)/python -m pytest -q tests/test_layout.py

format: .venv/.dev ui/node_modules/.installed ## rewrite the code in the house's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	npm run --silent --prefix ui format

bench: .venv/.bench ## measure the decoder and the relay against their peers
	$(BIN)/python bench/decoder.py $(ARGS)
	$(BIN)/python bench/relay.py $(ARGS)

build: .venv/.dev $(PAGES) ## build the wheel and the source archive into dist/
	@$(uv) build --no-build-isolation --python $(BIN)/python --out-dir dist

lock: $(UV) ## pin the dependencies again; ARGS=--upgrade takes newer ones
	@$(compile) requirements/uv.in -o requirements/uv.txt
	@$(compile) pyproject.toml requirements/build.in --extra local -o requirements/run.txt
	@$(compile) --no-deps --group model -o requirements/model.txt
	@$(compile) pyproject.toml requirements/build.in --extra local --extra otel --group dev -c requirements/run.txt -o requirements/dev.txt
	@$(compile) requirements/clients.in -o requirements/clients.txt
	@$(compile) pyproject.toml requirements/build.in --extra local --extra otel --group dev --group bench -c requirements/dev.txt -o requirements/bench.txt
	@for peer in bench/peers/*.in; do $(compile) $$peer -o $${peer%.in}.txt || exit 1; done

clean: ## remove what was installed, built and cached here
	rm -rf .venv .tools .clients .bench tests/clients/node_modules tests/e2e/browser/node_modules ui/node_modules src/tailrace/app/static dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the environment -------------------------------------------------------------------------------------------
# Each level is a whole environment, so `sync` makes .venv exactly that; going up a level adds what it needs.
# model.txt is apart and without dependencies: of that package only the weights are used, and what it declares
# would compile for minutes.

$(UV): requirements/uv.txt
	$(require_python)
	@echo 'Fetching uv into .tools/'
	@rm -rf .tools/venv
	@$(PYTHON) -m venv --without-pip .tools/venv
	@$(PYTHON) -m pip --python .tools/venv/bin/python install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: -r requirements/uv.txt
	@touch $@

.venv/pyvenv.cfg: | $(UV)
	$(require_python)
	@$(uv) venv --quiet --clear --no-project --python "$$(command -v $(PYTHON))" .venv

.venv/.run: requirements/run.txt requirements/model.txt pyproject.toml | $(UV) .venv/pyvenv.cfg
	@echo 'Installing requirements/run.txt and the model into .venv/'
	@$(sync) requirements/run.txt requirements/model.txt
	@$(editable)
	@touch $@

.venv/.dev: requirements/dev.txt .venv/.run
	@echo 'Installing requirements/dev.txt into .venv/'
	@$(sync) requirements/dev.txt requirements/model.txt
	@$(editable)
	@touch $@

.venv/.bench: requirements/bench.txt .venv/.dev
	@echo 'Installing requirements/bench.txt into .venv/'
	@$(sync) requirements/bench.txt requirements/model.txt
	@$(editable)
	@touch $@

# --- the clients of the end-to-end tests ------------------------------------------------------------------------
# Each in an environment of its own: they are many packages, and nothing of Tailrace is imported beside them.

.clients/.python: requirements/clients.txt | $(UV)
	$(require_python)
	@echo 'Installing requirements/clients.txt into .clients/venv/'
	@$(uv) venv --quiet --clear --no-project --python "$$(command -v $(PYTHON))" .clients/venv
	@$(uv) pip sync --quiet --python .clients/venv/bin/python --require-hashes requirements/clients.txt
	@touch $@

.clients/.npm: tests/clients/package.json tests/clients/package-lock.json
	$(require_npm)
	@echo 'Installing tests/clients/package-lock.json into tests/clients/node_modules/'
	@npm ci --loglevel=error --prefix tests/clients >/dev/null
	@mkdir -p .clients
	@touch $@

# The Chromium of the browser tests, unless TAILRACE_CHROMIUM names one that is installed.
.clients/.browser: tests/e2e/browser/package.json tests/e2e/browser/package-lock.json tests/e2e/browser/unpack.mjs
	$(require_npm)
	@echo 'Installing tests/e2e/browser/package-lock.json into tests/e2e/browser/node_modules/'
	@npm ci --loglevel=error --prefix tests/e2e/browser >/dev/null
	@node tests/e2e/browser/unpack.mjs .clients/chromium >/dev/null
	@touch $@

# --- the pages --------------------------------------------------------------------------------------------------

ui/node_modules/.installed: ui/package.json ui/package-lock.json
	$(require_npm)
	@echo 'Installing ui/package-lock.json into ui/node_modules/'
	@npm ci --loglevel=error --prefix ui >/dev/null
	@touch $@

$(PAGES): ui/node_modules/.installed $(PAGES_FROM)
	@echo 'Building the pages into src/tailrace/app/static/'
	@npm run --silent --prefix ui build -- --logLevel warn
	@touch $@
