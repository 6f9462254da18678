#!/usr/bin/env python3
"""Runs docs/notebook.ipynb on an index, and writes what its cells show into it.

    python scripts/run_notebook.py --index index/store/completejourney

The tests run the same cells on the invented shop (tests/test_notebook.py).
"""

from __future__ import annotations

import argparse
import ast
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).resolve().parents[1] / "docs" / "notebook.ipynb"


def code_cells(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in document["cells"] if cell["cell_type"] == "code"]


def run(document: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
    """Each code cell with the value of its last line, None where that is no expression."""
    names: dict[str, Any] = {}
    for number, cell in enumerate(code_cells(document), 1):
        lines = ast.parse("".join(cell["source"]), f"<cell {number}>").body
        last = lines.pop() if lines and isinstance(lines[-1], ast.Expr) else None
        exec(compile(ast.Module(lines, []), f"<cell {number}>", "exec"), names)  # noqa: S102
        shown = None
        if last is not None:
            expression = ast.Expression(last.value)
            shown = eval(compile(expression, f"<cell {number}>", "eval"), names)  # noqa: S307
        yield cell, shown


def output(shown: Any, number: int) -> dict[str, Any]:
    """What a notebook keeps of a value that a cell shows."""
    data = {"text/plain": repr(shown).splitlines(keepends=True)}
    if hasattr(shown, "_repr_html_"):
        data["text/html"] = shown._repr_html_().splitlines(keepends=True)
    return {
        "data": data,
        "execution_count": number,
        "metadata": {},
        "output_type": "execute_result",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--index", required=True)
    os.environ["CROSSREC_INDEX"] = parser.parse_args().index
    document = json.loads(NOTEBOOK.read_text("utf-8"))
    for number, (cell, shown) in enumerate(run(document), 1):
        cell["execution_count"] = number
        cell["outputs"] = [output(shown, number)] if shown is not None else []
    NOTEBOOK.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
