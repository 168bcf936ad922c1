# Two commands matter: `make demo` and `make test`. Each sets up what it needs, once.

BLENDER ?=
python = $(shell python$(1) -c '' >/dev/null 2>&1 && echo yes || ls $${PYENV_ROOT:-$$HOME/.pyenv}/versions 2>/dev/null | grep -q '^$(subst .,\.,$(1))\.' && echo yes)
OLDER := $(and $(call python,3.13),$(call python,3.11),blender-4.5)
MOUNTS := $(shell unshare -Urm true 2>/dev/null && echo unshare -Urm)

.PHONY: demo test faults window check extension backend blender blender-4.5 clean

demo: backend ## A photograph becomes a moving 3D scene, flown through and rendered: build/demo/
ifeq ($(BLENDER),)
	@tools/environment blender
	@.venv/bin/cyclorama demo .venv-blender/bin/python
else
	@.venv/bin/python tools/build-extension
	@.venv/bin/cyclorama demo "$(BLENDER)"
endif

test: check blender $(OLDER) ## Everything that can be checked without a GPU
	@.venv/bin/python -m pytest tests --ignore tests/addon --ignore tests/window
	@.venv-blender/bin/python -m pytest tests/addon
ifneq ($(OLDER),)
	@.venv-blender-4.5/bin/python -m pytest tests/addon
else
	@echo "SKIPPED: the add-on's tests in the other Blender LTS; both need Python 3.13 and Python 3.11"
endif

window: extension backend ## The user interface in a real Blender with a window: pictures in build/window/
	@.venv/bin/python -m pytest tests/window -rs

faults: backend ## Kills, power cuts, full disks, crowds, fuzz: all of it, where `make test` does a 25th; about half an hour
	@$(MOUNTS) .venv/bin/python -m pytest tests/faults --faults 1 --timeout 3600

check: backend ## Form: formatting, lint, import directions, types
	@.venv/bin/ruff format --check --quiet . || { echo "run: .venv/bin/ruff format"; exit 1; }
	@.venv/bin/ruff check --quiet .
	@said=$$(.venv/bin/lint-imports --no-cache) || { echo "$$said"; exit 1; }
	@.venv/bin/pyright --pythonpath .venv/bin/python

extension: blender ## build/cyclorama-VERSION.zip, the add-on as Blender installs it
	@.venv-blender/bin/python tools/build-extension

backend: ## .venv: torch, the backend, the development tools
	@tools/environment backend

blender: ## .venv-blender: Blender as a Python module
	@tools/environment blender

blender-4.5: ## .venv-blender-4.5: the older LTS, for the tests
	@tools/environment blender-4.5

clean: ## Remove what was built (not the environments)
	rm -rf build
