"""Notebooks are run by nbval, which compares stored outputs: so they must have some, and no cell may pass vacuously."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.rglob("*.ipynb"))


def faults(notebook: dict[str, Any]) -> list[str]:
    """What keeps nbval from telling whether this notebook still works."""
    found = []
    if "widgets" in notebook["metadata"]:
        found.append("the state of widgets is stored; save without it")
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code" and "".join(cell["source"]).strip()]
    if not any(cell["outputs"] for cell in cells):
        found.append("no cell has an output: they were stripped, or never run")
    for number, cell in enumerate(cells, start=1):
        found += [f"code cell {number}: {fault}" for fault in _cell_faults(cell)]
    return found


def _cell_faults(cell: dict[str, Any]) -> list[str]:
    source = "".join(cell["source"])
    tags = cell["metadata"].get("tags", [])
    failed = any(output["output_type"] == "error" for output in cell["outputs"])
    if any(line.lstrip().startswith(("!", "%")) for line in source.splitlines()):
        return ["shell commands and magics pass even when they fail; call a function"]
    found = []
    if cell["execution_count"] is None:
        found.append("it was never run")
    if _shows(source) and not cell["outputs"] and "silent" not in tags:
        found.append("it ends in a value and has no stored output (tag it 'silent' if the value is None)")
    if failed and "raises-exception" not in tags:
        found.append("its stored output is an error")
    if "raises-exception" in tags and not failed:
        found.append("it is to raise an exception and its stored output has none")
    return found


def _shows(source: str) -> bool:
    """Whether the cell ends in an expression whose value Jupyter displays, or prints."""
    statements = ast.parse(source).body
    prints = any(isinstance(node, ast.Name) and node.id in ("print", "display") for node in ast.walk(ast.parse(source)))
    return prints or (isinstance(statements[-1], ast.Expr) and not source.rstrip().endswith(";"))


def code(source: str, *outputs: dict[str, Any], count: int | None = 1, tags: tuple[str, ...] = ()) -> dict[str, Any]:
    metadata = {"tags": list(tags)}
    return {
        "cell_type": "code",
        "source": [source],
        "outputs": list(outputs),
        "execution_count": count,
        "metadata": metadata,
    }


VALUE = {"output_type": "execute_result"}
ERROR = {"output_type": "error"}


@pytest.mark.parametrize(
    ("cell", "fault"),
    [
        (code("lab.vip", VALUE), None),
        (code("x = 1\nprint(x)", VALUE), None),
        (code("x = 1"), None),
        (code("lab.stop()", tags=("silent",)), None),
        (code("lab.vip;"), None),
        (code("1 / 0", ERROR, tags=("raises-exception",)), None),
        (code("lab.vip"), "has no stored output"),
        (code("for x in y:\n    print(x)"), "has no stored output"),
        (code("x = 1", count=None), "it was never run"),
        (code("!ls", VALUE), "pass even when they fail"),
        (code("%time f()", VALUE), "pass even when they fail"),
        (code("1 / 0", ERROR), "its stored output is an error"),
        (code("lab.start()", VALUE, tags=("raises-exception",)), "is to raise an exception"),
    ],
)
def test_cells(cell: dict[str, Any], fault: str | None) -> None:
    found = faults({"metadata": {}, "cells": [code("1", VALUE), cell]})
    assert [fault is not None and fault in each for each in found] == ([] if fault is None else [True])


def test_a_notebook_without_outputs_is_refused() -> None:
    assert faults({"metadata": {}, "cells": [code("x = 1")]}) == [
        "no cell has an output: they were stripped, or never run"
    ]


def test_stored_widgets_are_refused() -> None:
    assert faults({"metadata": {"widgets": {}}, "cells": [code("1", VALUE)]}) == [
        "the state of widgets is stored; save without it"
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_the_notebooks_themselves(path: Path) -> None:
    assert faults(json.loads(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_stripping_them_is_noticed(path: Path) -> None:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)
    assert len(faults(notebook)) > 1
