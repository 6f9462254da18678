"""Items, histories and free text -> the text that is encoded, by the templates in prompts/."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge

from crossrec_llm.errors import TemplateError
from crossrec_llm.meaning.sandbox import FIELDS, ItemFields, Template, fold, join_parts
from crossrec_llm.records import STRICT, Item

if TYPE_CHECKING:
    from crossrec_llm.meaning.tokens import Tokens
    from crossrec_llm.tables import Catalogue

# Rounds of shortening a description; a tokenizer that is not additive may need a second.
_ROUNDS = 3
# What joining the description to the rest may cost in tokens.
_JOINT = 2
_MOST_CHARACTERS_PER_TOKEN = 32
# Part of the fingerprint: goes up when the same template begins to make other texts.
_VERSION = 1


@dataclass(frozen=True)
class TemplateOptions:
    """Which templates make the texts: a name in prompts/ (without .jinja), or a path to a file.

    Parameters
    ----------
    item, history, query : the templates.
    history_items : how many of a user's newest items a history text may name.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    item: str = "item"
    history: str = "history"
    query: str = "query"
    history_items: Annotated[int, Ge(1)] = 50


_DEFAULTS = TemplateOptions()

_FULL = Item(
    item_id="a1",
    title="A title",
    description="A description.",
    category=("Top", "Middle", "Leaf"),
    brand="A brand",
    price=9.5,
    image_url="https://shop.example/a1.jpg",
    added=1.7e9,
)
_BARE = Item(item_id="a2", title="A title")


class Templates:
    """The three templates, checked, and the texts that they make."""

    def __init__(
        self,
        item: Template,
        history: Template,
        query: Template,
        options: TemplateOptions,
        tokens: Tokens | None,
    ) -> None:
        self._item, self._history, self._query = item, history, query
        self._options = options
        self._tokens = tokens
        self._item_fields = [
            name for name in FIELDS if name in item.names | {"title", "description"}
        ]

    @classmethod
    def load(
        cls, folder: Path, options: TemplateOptions = _DEFAULTS, *, tokens: Tokens | None = None
    ) -> Templates:
        """Read the templates and try each on a full and on an empty sample.

        Parameters
        ----------
        folder : holds the templates that are given by name.
        tokens : `Encoder.tokens`; item and history texts are shortened to what fits. None leaves
            them as long as they are.

        Raises
        ------
        TemplateError : a template that is not there, cannot be parsed, or names an unknown field.
        """
        items = [ItemFields(_FULL), ItemFields(_BARE)]
        samples = [{name: item[name] for name in FIELDS} for item in items]
        return cls(
            Template(_find(folder, options.item), set(FIELDS), samples),
            Template(_find(folder, options.history), {"items"}, [{"items": items}, {"items": []}]),
            Template(_find(folder, options.query), {"text"}, [{"text": "a text"}, {"text": ""}]),
            options,
            tokens,
        )

    def save(self, folder: Path) -> None:
        """Write the three sources under their usual names, for `load` to read back."""
        folder.mkdir(exist_ok=True)
        for name in ("item", "history", "query"):
            template: Template = getattr(self, f"_{name}")
            (folder / f"{name}.jinja").write_text(template.source, "utf-8")

    @property
    def fingerprint(self) -> str:
        """Hash of all that decides a text: the sources, the options, what fits."""
        sources = [template.source for template in (self._item, self._history, self._query)]
        fits = self._tokens.fingerprint if self._tokens else ""
        parts = [_VERSION, *sources, self._options.history_items, fits]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    @property
    def columns(self) -> set[str]:
        """Of ITEMS_SCHEMA, what the text of an item is made from."""
        return {FIELDS[name][0] for name in self._item_fields}

    def item_text(self, item: Item) -> str:
        """The text of one item."""
        fields = ItemFields(item)
        return self._texts([{name: fields[name] for name in self._item_fields}])[0]

    def item_texts(self, catalogue: Catalogue) -> list[str]:
        """The text of every item, in the catalogue's order.

        Raises
        ------
        TemplateError : the template names a metadata column that no item has.
        """
        names = self._item_fields
        columns = [
            [show(value) for value in catalogue.table.column(source).to_pylist()]
            for source, show in (FIELDS[name] for name in names)
        ]
        rows = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
        if rows and self._item.metadata:
            self._item.check_metadata({name for row in rows for name in row["metadata"]})
        return self._texts(rows)

    def history_text(self, items: Sequence[Item]) -> str:
        """The text of a history, given oldest first; over budget the oldest items go."""
        newest = [ItemFields(item) for item in items[-self._options.history_items :]]
        text, tokens = self._history.render({"items": newest}), self._tokens
        length = int(tokens.count([text])[0]) if tokens else 0
        if tokens is None or length <= tokens.limit:
            return text

        def last(count: int) -> str:
            return self._history.render({"items": newest[-count:]})

        def fits(count: int) -> bool:
            return bool(tokens.fits([last(count)])[0])

        # Items have similar lengths: the right number lies near the proportion.
        count = max(1, len(newest) * tokens.limit // length)
        if fits(count):
            while count + 1 < len(newest) and fits(count + 1):
                count += 1
            return last(count)
        count = next((fewer for fewer in range(count - 1, 0, -1) if fits(fewer)), 1)
        return tokens.cut([last(count)])[0]

    def query_text(self, text: str) -> str:
        """The text of a free-text query."""
        # What a terminal could not decode arrives as lone surrogates, which no tokenizer takes.
        valid = text.encode("utf-8", "replace").decode()
        return self._query.render({"text": fold(valid)})

    def _texts(self, rows: list[dict[str, Any]]) -> list[str]:
        """Render; a text that is too long gets a shorter description, so that the rest stays."""
        tokens = self._tokens
        if tokens is None:
            return [self._item.render(row) for row in rows]
        for row in rows:
            row["description"] = row["description"][: _MOST_CHARACTERS_PER_TOKEN * tokens.limit]
        texts = [self._item.render(row) for row in rows]
        over = np.flatnonzero(~tokens.fits(texts)).tolist()
        rooms = tokens.limit - tokens.count([self._without(rows[i]) for i in over]) - _JOINT
        for _ in range(_ROUNDS):
            shorter = tokens.cut([rows[i]["description"] for i in over], rooms.tolist())
            for i, description in zip(over, shorter, strict=True):
                texts[i] = self._item.render({**rows[i], "description": description})
            excess = tokens.count([texts[i] for i in over]) - tokens.limit
            left = np.flatnonzero(excess > 0)
            over, rooms = [over[j] for j in left], rooms[left] - excess[left]
        for i, text in zip(
            over, tokens.cut([self._title_first(rows[i]) for i in over]), strict=True
        ):
            texts[i] = text
        return texts

    def _without(self, row: Mapping[str, Any]) -> str:
        return self._item.render({**row, "description": ""})

    def _title_first(self, row: Mapping[str, Any]) -> str:
        """A text that is too long even without its description loses its end, not its title."""
        text, title = self._without(row), row["title"]
        return text if text.startswith(title) else join_parts([title, text])


def _find(folder: Path, name: str) -> Path:
    """A name is a file of `folder`, anything that looks like a path is a path."""
    if name.endswith(".jinja") or "/" in name or "\\" in name:
        path = Path(name).expanduser()
    else:
        path = folder / f"{name}.jinja"
    if path.is_file():
        return path
    known = sorted(p.stem for p in folder.glob("*.jinja"))
    raise TemplateError(f"no template {name!r} ({path}); {folder} has {', '.join(known) or 'none'}")
