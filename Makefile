# The first command of any kind makes .venv (tools/setup.sh); later ones see that it is there.
# Paths are relative on purpose: the folder's name may have spaces in it.

PYTHON := .venv/bin/python

.PHONY: help setup demo test slow docker-test long lab check format lock clean

help:
	@echo "make demo    boot a lab, send requests at L4 and at L7, show the proof"
	@echo "make lab     open the notebooks in JupyterLab"
	@echo "make test    run the tests, the notebooks among them"
	@echo "make slow    run the slow tests"
	@echo "make docker-test   run the tests that need a Docker engine"
	@echo "make long    run what repeats the slow ones many times over"
	@echo "make check   format, lint, types, imports"
	@echo "make setup   make the environment alone"
	@echo "make clean   remove what labkit left behind, and what the commands above made"

setup:
	@sh tools/setup.sh

demo: setup
	@$(PYTHON) -m labkit demo $(ARGS)

lab: setup
	@$(PYTHON) -m labkit notebooks -- $(ARGS)

test: setup
	@sh tools/test.sh $(ARGS)

slow: setup
	@$(PYTHON) -m pytest -n 2 --dist loadscope -o faulthandler_timeout=600 -m "slow and not docker" tests $(ARGS) || [ $$? -eq 5 ]  # 5: there is none

docker-test: setup
	@$(PYTHON) -m pytest -n 2 --dist loadscope -o faulthandler_timeout=600 -m "docker and not long" --junitxml=out/docker.xml tests $(ARGS)

long: setup
	@$(PYTHON) -m pytest -n 2 --dist loadscope -o faulthandler_timeout=3600 -m "long and not docker" tests $(ARGS) || [ $$? -eq 5 ]

check: setup
	@sh tools/check.sh

format: setup
	@$(PYTHON) -m ruff format .
	@$(PYTHON) -m ruff check --fix .

lock:
	@sh tools/lock.sh $(ARGS)

clean:
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m labkit clean || true; fi
	@rm -rf .venv out build dist htmlcov .coverage-data .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
