# Two commands matter: `make demo` and `make test`. Each sets up what it needs, once.

BLENDER ?=
BLENDER_45 := $(shell command -v python3.11 >/dev/null 2>&1 && echo yes || ls $${PYENV_ROOT:-$$HOME/.pyenv}/versions 2>/dev/null | grep -q '^3\.11\.' && echo yes)

.PHONY: demo test check extension backend blender blender-4.5 clean

demo: backend ## A photograph becomes a moving 3D scene, flown through and rendered: build/demo/
ifeq ($(BLENDER),)
	@tools/environment blender
	@.venv/bin/cyclorama demo .venv-blender/bin/python
else
	@.venv/bin/python tools/build-extension
	@.venv/bin/cyclorama demo "$(BLENDER)"
endif

test: check blender ## Everything that can be checked without a GPU
	@.venv/bin/python -m pytest tests --ignore tests/addon
	@.venv-blender/bin/python -m pytest tests/addon
ifneq ($(BLENDER_45),)
	@tools/environment blender-4.5
	@.venv-blender-4.5/bin/python -m pytest tests/addon
else
	@echo "SKIPPED: the add-on's tests in Blender 4.5 LTS, because there is no Python 3.11 here"
endif

check: backend ## Form: formatting, lint, import directions, types
	@.venv/bin/ruff format --check --quiet . || { echo "run: .venv/bin/ruff format"; exit 1; }
	@.venv/bin/ruff check --quiet .
	@.venv/bin/lint-imports --no-cache | tail -n 2
	@.venv/bin/pyright --pythonpath .venv/bin/python

extension: blender ## build/cyclorama-VERSION.zip, the add-on as Blender installs it
	@.venv-blender/bin/python tools/build-extension

backend: ## .venv: torch, the backend, the development tools
	@tools/environment backend

blender: ## .venv-blender: Blender as a Python module
	@tools/environment blender

clean: ## Remove what was built (not the environments)
	rm -rf build
