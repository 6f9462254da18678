"""One template: parsed, checked against the fields there are, rendered to one line of text.

Each line of a template is a part: a line whose fields are all empty vanishes together with its
label, the others are joined with full stops where they do not end in punctuation themselves.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, TemplateSyntaxError, UndefinedError, meta, nodes
from jinja2.sandbox import SandboxedEnvironment

from crossrec_llm.errors import TemplateError
from crossrec_llm.records import CATEGORY_SEPARATOR, Item

# Unicode noncharacters: they mark, in a rendered line, where a field was empty or filled.
_EMPTY, _FILLED = "\ufdd0", "\ufdd1"
_MARKS = str.maketrans("", "", _EMPTY + _FILLED)
_ENDINGS = tuple(".!?:;,…。！？：；，、")


class _Path(tuple[str, ...]):
    """A category as a template sees it: a list of names that prints as "A > B"."""

    __slots__ = ()

    def __str__(self) -> str:
        return CATEGORY_SEPARATOR.join(self)


class _Metadata:
    """The other columns; a name that this item lacks is empty.

    Not a dict, whose methods would hide columns called "items" or "values".
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> str:
        return fold(self._values.get(name) or "")

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def fold(value: Any) -> str:
    return " ".join(str(value).split())


def _category(parts: Sequence[str] | None) -> _Path:
    return _Path(fold(part) for part in parts or ())


def _top(parts: Sequence[str] | None) -> str:
    return fold(parts[0]) if parts else ""


def _metadata(value: Mapping[str, Any] | str) -> _Metadata:
    return _Metadata(json.loads(value or "{}") if isinstance(value, str) else value)


def _same(value: Any) -> Any:
    return value


# A template's field -> (column of the catalogue and attribute of Item, how it is shown).
FIELDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "item_id": ("item_id", fold),
    "title": ("title", fold),
    "description": ("description", fold),
    "category": ("category", _category),
    "top_category": ("category", _top),
    "brand": ("brand", fold),
    "price": ("price", _same),
    "image_url": ("image_url", fold),
    "available": ("available", _same),
    "added": ("added", _same),
    "metadata": ("metadata", _metadata),
}


class ItemFields(dict[str, Any]):
    """An item as a template sees it; a field is converted when it is first asked for."""

    def __init__(self, item: Item) -> None:
        super().__init__()
        self._item = item

    def __missing__(self, name: str) -> Any:
        source, show = FIELDS[name]
        self[name] = value = show(getattr(self._item, source))
        return value


def _show(value: Any) -> str:
    """What `{{ value }}` prints, marked as filled or empty."""
    if isinstance(value, float):
        value = f"{value:.10g}" if abs(value) < 1e10 else f"{value:.0f}"
    text = "" if value is None else fold(value)
    return _FILLED + text if text else _EMPTY


def join_parts(parts: Sequence[str]) -> str:
    ended = [part if part.endswith(_ENDINGS) else f"{part}." for part in parts[:-1]]
    return " ".join([*ended, *parts[-1:]])


_ENVIRONMENT = SandboxedEnvironment(undefined=StrictUndefined, finalize=_show)


class Template:
    """One parsed template.

    Attributes
    ----------
    names : the fields that it uses.
    metadata : metadata columns that it names -> line.
    """

    def __init__(self, path: Path, fields: set[str], samples: Sequence[Mapping[str, Any]]) -> None:
        self.path = path
        self._known = fields
        try:
            self.source = path.read_text(encoding="utf-8")
            tree = _ENVIRONMENT.parse(self.source)
            code = _ENVIRONMENT.compile(self.source, name=path.name, filename=str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise TemplateError(f"{path} cannot be read as UTF-8 text: {error}") from error
        except TemplateSyntaxError as error:
            raise TemplateError(f"{path}:{error.lineno}: {error.message}") from error
        self.names = meta.find_undeclared_variables(tree) - set(_ENVIRONMENT.globals)
        lines = {name.name: name.lineno for name in reversed([*tree.find_all(nodes.Name)])}
        for name in sorted(self.names - fields, key=lambda name: lines.get(name, 0)):
            raise self._unknown(name, lines.get(name), fields)
        self.metadata = _metadata_names(tree)
        self._template = _ENVIRONMENT.template_class.from_code(
            _ENVIRONMENT, code, _ENVIRONMENT.make_globals(None)
        )
        for sample in samples:
            self.render(sample)

    def render(self, values: Mapping[str, Any]) -> str:
        """One line of text."""
        try:
            text = self._template.render(values)
        except UndefinedError as error:
            name = str(error).rsplit("'", 2)[-2] if str(error).count("'") >= 2 else str(error)
            known = self._known if "has no attribute" not in str(error) else set(FIELDS)
            raise self._unknown(name, self._line(error), known) from error
        except Exception as error:  # a template is the user's program: it can raise anything
            line = self._line(error)
            place = f"{self.path}:{line}" if line else str(self.path)
            raise TemplateError(f"{place}: {type(error).__name__}: {error}") from error
        parts = [
            " ".join(line.translate(_MARKS).split())
            for line in text.split("\n")
            if _FILLED in line or _EMPTY not in line
        ]
        return join_parts([part for part in parts if part])

    def check_metadata(self, columns: set[str]) -> None:
        """Refuse a metadata column that the catalogue does not have."""
        for name, line in self.metadata.items():
            if name not in columns:
                raise self._unknown(f"metadata.{name}", line, {f"metadata.{c}" for c in columns})

    def _line(self, error: BaseException) -> int | None:
        frames = traceback.extract_tb(error.__traceback__)
        return next((f.lineno for f in reversed(frames) if f.filename == str(self.path)), None)

    def _unknown(self, name: str, line: int | None, known: set[str]) -> TemplateError:
        near = get_close_matches(name, sorted(known), n=3)
        listed = ", ".join(sorted(known)[:30])
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {listed}"
        place = f"{self.path}:{line}" if line else str(self.path)
        return TemplateError(f"{place}: unknown field {name!r}; {hint}")


def _metadata_names(tree: nodes.Template) -> dict[str, int]:
    """Columns named as metadata.colour or metadata["Colour"], with their lines."""
    found: dict[str, int] = {}
    accesses: list[tuple[nodes.Expr, Any, int]] = [
        *((node.node, node.attr, node.lineno) for node in tree.find_all(nodes.Getattr)),
        *(
            (node.node, node.arg.value, node.lineno)
            for node in tree.find_all(nodes.Getitem)
            if isinstance(node.arg, nodes.Const)
        ),
    ]
    for owner, key, line in accesses:
        if isinstance(owner, nodes.Name) and owner.name == "metadata" and isinstance(key, str):
            found.setdefault(key, line)
    return found
