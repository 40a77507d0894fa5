# Two commands: `make run` serves page and endpoint, `make test` runs everything that must hold.
PORT ?= 7860
UV := 0.13.9
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.installed
# The CPU build of torch: from where pip was told to look, else from PyTorch's own CPU channel.
TORCH := $(if $(PIP_FIND_LINKS),--find-links "$(PIP_FIND_LINKS)",--torch-backend cpu)

.PHONY: run test check lock clean

run: $(READY)
	@$(BIN)/rag weights
	@$(BIN)/rag serve --port $(PORT)

test: check
	@$(BIN)/rag weights
	$(BIN)/python -m pytest

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Footnote needs Python 3.11 or newer; this is $$($(PYTHON) --version). Set PYTHON=..."; exit 1; }
	@echo "1/3 a virtual environment in .venv"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV)
	@echo "2/3 the packages of requirements.lock"
	@$(BIN)/python -m uv pip install --python $(BIN)/python $(TORCH) --no-deps -r requirements.lock
	@echo "3/3 the rag command"
	@$(BIN)/python -m uv pip install --python $(BIN)/python --quiet --no-deps --editable .
	@touch $(READY)

# Pins what pyproject.toml asks for. The local label of torch (+cpu) is cut off: it differs between platforms.
lock:
	rm -f requirements.lock  # else its torch, without the label, is taken for the one with CUDA
	$(BIN)/python -m uv pip compile pyproject.toml --extra dev --python-version 3.11 $(TORCH) --quiet \
		--no-header --no-annotate --no-emit-index-url --no-emit-find-links -o requirements.lock
	sed -i.bak 's/^\(torch==[0-9.]*\)+.*/\1/' requirements.lock && rm requirements.lock.bak

clean:
	rm -rf .venv
