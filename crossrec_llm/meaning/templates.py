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
from crossrec_llm.meaning.sandbox import FIELDS, Template, fields_of, fold, join_parts
from crossrec_llm.records import Item
from crossrec_llm.resources import default_folder

if TYPE_CHECKING:
    from crossrec_llm.meaning.encoder import Encoder
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

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

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
    """The three templates, checked, and the texts that they make.

    Given an encoder, item and history texts are shortened to what it reads; without one they
    keep their full length.
    """

    def __init__(
        self, item: Template, history: Template, query: Template, options: TemplateOptions
    ) -> None:
        self._item, self._history, self._query = item, history, query
        self._options = options

    @classmethod
    def load(cls, options: TemplateOptions = _DEFAULTS, *, folder: Path | None = None) -> Templates:
        """Read the templates and try each on a full and on an empty sample.

        `folder` holds the templates that are given by name; by default the ones that ship.

        Raises
        ------
        TemplateError : a template that is not there, cannot be parsed, or names an unknown field.
        """
        folder = folder or default_folder("prompts")
        full, bare = fields_of(_FULL), fields_of(_BARE)
        return cls(
            Template(_find(folder, options.item), set(FIELDS), [full, bare]),
            Template(
                _find(folder, options.history),
                {"items"},
                [{"items": [bare, full]}, {"items": []}],
            ),
            Template(_find(folder, options.query), {"text"}, [{"text": "a text"}, {"text": ""}]),
            options,
        )

    @property
    def fingerprint(self) -> str:
        """Hash of all that decides a text but the encoder's vocabulary and limit."""
        sources = [template.source for template in (self._item, self._history, self._query)]
        parts = [_VERSION, *sources, self._options.history_items]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def item_text(self, item: Item, encoder: Encoder | None = None) -> str:
        """The text of one item."""
        return self._texts([fields_of(item)], encoder)[0]

    def item_texts(self, catalogue: Catalogue, encoder: Encoder | None = None) -> list[str]:
        """The text of every item, in the catalogue's order.

        Raises
        ------
        TemplateError : the template names a metadata column that no item has.
        """
        table = catalogue.table
        names = [name for name in FIELDS if name in self._item.names | {"title", "description"}]
        columns = [
            [show(value) for value in table.column(source).to_pylist()]
            for source, show in (FIELDS[name] for name in names)
        ]
        rows = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
        if rows and self._item.metadata:
            self._item.check_metadata({name for row in rows for name in row["metadata"]})
        return self._texts(rows, encoder)

    def history_text(self, items: Sequence[Item], encoder: Encoder | None = None) -> str:
        """The text of a history, given oldest first; over budget the oldest items go."""
        newest = [fields_of(item) for item in items[-self._options.history_items :]]

        def last(count: int) -> str:
            return self._history.render({"items": newest[len(newest) - count :]})

        text = last(len(newest))
        if encoder is None or encoder.tokens.fits([text])[0]:
            return text
        low, high = 1, len(newest)
        while low < high:
            middle = (low + high + 1) // 2
            if encoder.tokens.fits([last(middle)])[0]:
                low = middle
            else:
                high = middle - 1
        return encoder.tokens.cut([last(low)])[0]

    def query_text(self, text: str) -> str:
        """The text of a free-text query."""
        # What a terminal could not decode arrives as lone surrogates, which no tokenizer takes.
        valid = text.encode("utf-8", "replace").decode()
        return self._query.render({"text": fold(valid)})

    def _texts(self, rows: list[dict[str, Any]], encoder: Encoder | None) -> list[str]:
        """Render; a text that is too long gets a shorter description, so that the rest stays."""
        if encoder is None:
            return [self._item.render(row) for row in rows]
        tokens = encoder.tokens
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
