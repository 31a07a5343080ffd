# `make` sets up, `make serve` runs the house, `make test` proves it, `make bench` measures it.
# `make page` builds the page that the gateway serves, where it has changed; every target below has done so.
# `make debug` and `make sanitize` test a checked copy of the core under build/; `make dist` packs sdist and wheel.
PORT ?= 5000
WORKERS ?=
DATA ?= flow_data
FIELD ?=
VENV ?= .venv
BIN := $(VENV)/bin
PAGE := gateway/static/index.html
export VENV

.PHONY: setup page tools serve test bench debug sanitize dist clean
setup: $(VENV)/.ready page
page: $(PAGE)

$(VENV)/.ready: pyproject.toml setup.py cfcore/_kernels.pyx $(wildcard cfcore/*.pxi cfcore/_hot*) deploy/setup.sh
	sh deploy/setup.sh
	touch $@

$(PAGE): deploy/page.sh $(shell find gateway/web -name node_modules -prune -o -print) | $(VENV)/.ready
	sh deploy/page.sh

tools:
	sh deploy/test_tools.sh

serve: setup
	exec $(BIN)/cosmicflows serve --port $(PORT) --data "$(DATA)" $(if $(WORKERS),--workers $(WORKERS)) $(if $(FIELD),--field $(FIELD))

# the page and the tools of the tests are fetched side by side
test: $(VENV)/.ready
	$(MAKE) --no-print-directory -j2 page tools
	sh deploy/run_tests.sh $(ARGS)

# the peers are for measuring only: neither serving nor testing waits for them
$(VENV)/.bench: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[server,test,bench]'
	touch $@

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks $(ARGS)

debug sanitize: setup
	sh deploy/checked.sh $@ $(ARGS)

dist: setup
	test -e $(PAGE) || sh deploy/page.sh required
	$(BIN)/python -m build --no-isolation

clean:
	rm -rf build dist *.egg-info cfcore/*.so gateway/static gateway/web/node_modules $(VENV)
