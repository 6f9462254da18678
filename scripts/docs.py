#!/usr/bin/env python3
"""Write what of docs/ comes from the code; with --check, say if it is current.

recipe.md, cli.md and openapi.json come from the code itself, relevance.md from relevance.json.

.venv/bin/python scripts/docs.py [--check]
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import golden
import typer

from crossrec_llm.cli.main import app
from crossrec_llm.recipe import Recipe
from crossrec_llm.service import ServiceOptions
from crossrec_llm.service.app import create_app

DOCS = Path(__file__).resolve().parents[1] / "docs"
NOTE = "<!-- Written by scripts/docs.py from the code; change it there. -->\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--check", action="store_true")
    check: bool = parser.parse_args().check
    stale = []
    pages = {
        "recipe.md": recipe_page(),
        "cli.md": command_page(),
        "openapi.json": openapi_document(),
        "relevance.md": "\n".join(golden.page(DOCS / "relevance.json")) + "\n",
    }
    for name, text in pages.items():
        path = DOCS / name
        if path.exists() and path.read_text("utf-8") == text:
            continue
        stale.append(name)
        if not check:
            path.write_text(text, "utf-8")
    if check and stale:
        sys.exit(f"docs/{', docs/'.join(stale)} not current: run scripts/docs.py")


def openapi_document() -> str:
    """What the service has at /v1/openapi.json."""
    document = create_app(ServiceOptions(tenants={})).openapi()
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def recipe_page() -> str:
    lines = [
        "# The recipe",
        "",
        NOTE,
        "A recipe is a TOML file that says how an index is built and how it answers. Give it with",
        "`crossrec build --recipe FILE`; what it leaves out keeps the default shown here. A wrong",
        "setting is reported with its line, all of them at once. `index/` holds the shipped ones,",
        "which are also known by their name (`--recipe chroma-server`).",
        "",
        *options_of(Recipe, ()),
    ]
    return "\n".join(lines).rstrip() + "\n"


def options_of(cls: type, path: tuple[str, ...]) -> Iterator[str]:
    """One section for each table of the recipe, the nested ones after their parent."""
    words = field_words(cls)
    hints = get_type_hints(cls)
    plain, nested = [], []
    default = cls()
    for field in dataclasses.fields(cls):
        value = getattr(default, field.name)
        is_table = dataclasses.is_dataclass(value) and type(value).__name__ != "Situation"
        (nested if is_table else plain).append((field.name, value))
    if path:
        yield f"## `[{'.'.join(path)}]`"
        yield ""
        yield summary(cls)
        yield ""
    if plain:
        yield "| setting | default | |"
        yield "|---|---|---|"
        for name, value in plain:
            yield f"| `{name}` | {show(value)} | {words.get(name, '')} |"
        yield ""
    for kind in {type(value): None for _, value in plain if dataclasses.is_dataclass(value)}:
        yield f"{summary(kind).rstrip('.')}, by these keys:"
        yield ""
        yield from (f"- `{name}`: {meaning}" for name, meaning in field_words(kind).items())
        yield ""
    for name, _ in nested:
        yield from options_of(hints[name], (*path, name))


def summary(cls: type) -> str:
    return (inspect.getdoc(cls) or "").split("\n\n", 1)[0].replace("\n", " ")


def field_words(cls: type) -> dict[str, str]:
    """The "name : words" lines of a docstring, with what is indented below them."""
    words: dict[str, str] = {}
    names: list[str] = []
    for line in (inspect.getdoc(cls) or "").splitlines():
        if entry := re.match(r"(\w[\w, ]*?) : (.*)", line):
            names = [name.strip() for name in entry[1].split(",")]
            words.update(dict.fromkeys(names, entry[2]))
        elif line.startswith("    ") and names:
            for name in names:
                words[name] += " " + line.strip()
        else:
            names = []
    return words


def show(value: Any) -> str:
    """A default as TOML would have it."""
    if value is None:
        return "not set"
    if dataclasses.is_dataclass(value):
        parts = (f"{f.name} = {toml(getattr(value, f.name))}" for f in dataclasses.fields(value))
        return f"`{{ {', '.join(parts)} }}`"
    return f"`{toml(value)}`"


def toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, dict):
        entries = (
            f"{key if key.isidentifier() else toml(key)} = {toml(v)}" for key, v in value.items()
        )
        return "{ " + ", ".join(entries) + " }" if value else "{}"
    if isinstance(value, list | tuple | frozenset | set):
        return "[" + ", ".join(map(toml, value)) + "]"
    return str(value)


def command_page() -> str:
    group: Any = typer.main.get_command(app)
    lines = [
        "# The command line",
        "",
        NOTE,
        "Exit codes: 0 done, 1 a check found problems, 2 bad input or state (one clear line on",
        "stderr); anything else is a bug. With `--json` one JSON document goes to stdout and",
        "nothing else; progress and notes go to stderr. `crossrec --install-completion` sets up",
        "completion for your shell. The environment variable CROSSREC_INDEX names the index that",
        "is meant when `--index` is not given.",
        "",
    ]
    for name, command in sorted(group.commands.items()):
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        options = [p for p in command.params if p.param_type_name == "option"]
        usage = " ".join([f"crossrec {name}", *(a.metavar or a.name.upper() for a in arguments)])
        lines += [f"## `{usage}`", "", (command.help or "").strip(), ""]
        lines += ["| option | default | |", "|---|---|---|"]
        for option in options:
            if "--help" not in option.opts:
                names = ", ".join(option.opts)
                lines.append(f"| `{names}` | {option_default(option)} | {option.help or ''} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def option_default(option: Any) -> str:
    if option.required:
        return "needed"
    if option.default in (None, False, [], ()) or callable(option.default):
        return ""
    return f"`{option.default}`"


if __name__ == "__main__":
    main()
