# `make` sets up, `make serve` runs the house, `make test` proves it, `make bench` measures it.
# `make debug` and `make sanitize` test a checked copy of the core under build/; `make dist` packs sdist and wheel.
PORT ?= 5000
WORKERS ?=
DATA ?= flow_data
FIELD ?=
VENV ?= .venv
BIN := $(VENV)/bin
export VENV

.PHONY: setup serve test bench debug sanitize dist clean
setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml setup.py cfcore/_kernels.pyx $(wildcard cfcore/*.pxi cfcore/_hot*) deploy/setup.sh
	sh deploy/setup.sh
	touch $@

serve: setup
	exec $(BIN)/cosmicflows serve --port $(PORT) --data "$(DATA)" $(if $(WORKERS),--workers $(WORKERS)) $(if $(FIELD),--field $(FIELD))

test: setup
	sh deploy/test_tools.sh
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
	$(BIN)/python -m build --no-isolation

clean:
	rm -rf build dist *.egg-info cfcore/*.so $(VENV)
