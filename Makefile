# Everything from a fresh checkout, as root on Debian: each target sets up what it needs, and only what is missing.

DATA_DIR := .torpor
NPM := npm --no-audit --no-fund --loglevel=error
STAMP := node_modules/.installed

.PHONY: help setup setup-service check test demo bench clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    the walkthrough: build an image, run it, suspend it, wake it"
	@echo "make test    all checks and tests"
	@echo "make bench   speed and size, against the floor"
	@echo "make check   format, lint, types, boundaries"
	@echo "make setup   only what the others need: packages (those of tests, too), kernel, agent, base image"
	@echo "make clean   remove what was installed and built in this directory"

$(STAMP): package-lock.json
	@echo "Installing npm packages"
	@command -v npm >/dev/null || { echo "npm is missing: apt-get install npm" >&2; exit 1; }
	@$(NPM) ci || { echo "npm ci failed: see above; with the package registry reachable, run make again" >&2; exit 1; }
	@touch $@

setup: $(STAMP)
	@bin/torpor setup --data-dir $(DATA_DIR) --development

check: $(STAMP)
	@$(NPM) run --silent check

test: setup
	@$(NPM) run --silent test

# Without the tests' packages: a newcomer's first demo is not to wait for compilers of test tools.
setup-service: $(STAMP)
	@bin/torpor setup --data-dir $(DATA_DIR)

demo: setup-service
	@$(NPM) run --silent demo

bench: setup
	@$(NPM) run --silent bench

clean:
	@! pgrep -f '[q]emu-system-x86_64 .*$(CURDIR)/$(DATA_DIR)/' > /dev/null || { echo "microVMs of this directory still run: terminate them first (README.md, Stopping)" >&2; exit 1; }
	rm -rf node_modules agent/target $(DATA_DIR) bench-results .venv .venv.lock .tools .tools.lock
