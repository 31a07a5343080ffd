# `make` sets up, `make serve` runs the house, `make test` proves it, `make bench` measures it.
PORT ?= 5000
WORKERS ?=
DATA ?= flow_data
FIELD ?=
VENV ?= .venv
BIN := $(VENV)/bin
export VENV

.PHONY: setup serve test bench clean
setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml setup.py cfcore/_kernels.pyx deploy/setup.sh
	sh deploy/setup.sh
	touch $@

serve: setup
	exec $(BIN)/cosmicflows serve --port $(PORT) --data "$(DATA)" $(if $(WORKERS),--workers $(WORKERS)) $(if $(FIELD),--field $(FIELD))

test: setup
	$(BIN)/python -m pytest $(ARGS)

bench: setup
	$(BIN)/python -m benchmarks $(ARGS)

clean:
	rm -rf build dist *.egg-info cfcore/*.so $(VENV)
