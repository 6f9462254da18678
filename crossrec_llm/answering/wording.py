"""What reasons say: sentences from a file of templates, one file a language."""

from __future__ import annotations

import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crossrec_llm.errors import RecipeError
from crossrec_llm.records import Item
from crossrec_llm.resources import default_folder, read_toml

_ITEM = {"item": {"title"}}
_ALONE: dict[str, set[str]] = {"alone": set()}
_PLACED = {**_ALONE, "placed": {"category"}}

SENTENCES: Mapping[str, Mapping[str, set[str]]] = {
    "text": {**_ITEM, **_ALONE},
    "neighbours": _ITEM,
    "transitions": _ITEM,
    "transitions_before": _ITEM,
    "imputed": _ITEM,
    "stand_in": _ITEM,
    "category": _ITEM,
    "graph": {**_ITEM, **_ALONE},
    "taste": _ITEM,
    "sequence": _ITEM,
    "transport": _ITEM,
    "asked": {"alone": {"text"}},
    "said": {"alone": {"text"}},
    "disliked": {},
    "popular": _PLACED,
    "trending": _PLACED,
    "pinned": _ALONE,
    "fill": _ALONE,
}
"""Kind of a reason -> its sentences -> the fields that each of them has.

A dislike only speaks against what lies near it, and is no reason for anything."""

_CROSSING = {"reason", "there", "here"}


class Wording:
    """The sentences of one language.

    Parameters
    ----------
    sentences : kind -> name -> template, with the fields of `SENTENCES`.
    crossing : goes around a reason that crosses.
    """

    def __init__(self, sentences: Mapping[str, Mapping[str, str]], crossing: str) -> None:
        self._sentences, self._crossing = sentences, crossing

    @classmethod
    def load(cls, language: str) -> Wording:
        """A language that ships ("en"), or a TOML file of one's own.

        Raises
        ------
        RecipeError : there is none, it cannot be read, or with every sentence that is missing or
            has other fields than it should.
        """
        path = _find(language)
        _, raw = read_toml(path)
        if problems := _problems(raw):
            raise RecipeError(str(path), problems)
        return cls(raw, raw["crossing"])

    def sentence(
        self, kind: str, item: Item, because: Item | None = None, text: str | None = None
    ) -> str:
        """One reason in words.

        Parameters
        ----------
        kind : of `SENTENCES`.
        because : the history item that it goes back to.
        text : what was typed, or said before.
        """
        known = self._sentences[kind]
        here = item.category[:1]
        if because is None:
            if here and "placed" in known:
                return known["placed"].format(category=here[0])
            return known["alone"].format(text=shorten(text or ""))
        words = known["item"].format(title=shorten(because.title))
        there = because.category[:1]
        if here and there and here != there:
            return self._crossing.format(reason=words, there=there[0], here=here[0])
        return words


def shorten(text: str) -> str:
    """At most 60 characters."""
    return text if len(text) <= 60 else f"{text[:57]}..."


def _find(language: str) -> Path:
    if language.endswith(".toml"):
        return Path(language).expanduser()
    folder = default_folder("prompts")
    path = folder / f"reasons.{language}.toml"
    if Path(language).name != language or not path.is_file():
        names = sorted(entry.name.split(".")[1] for entry in folder.glob("reasons.*.toml"))
        words = f"answering.language: no {language!r}; there is {', '.join(names)}, or a .toml file"
        raise RecipeError("recipe", [words])
    return path


def _problems(raw: Mapping[str, Any]) -> list[str]:
    """Every sentence that is missing, unknown, or has other fields than it should."""
    wanted = {"crossing": _CROSSING} | {
        f"{kind}.{name}": fields
        for kind, sentences in SENTENCES.items()
        for name, fields in sentences.items()
    }
    given: dict[str, Any] = {}
    for key, value in raw.items():
        inside = value if isinstance(value, dict) else None
        given |= {key: value} if inside is None else {f"{key}.{n}": v for n, v in inside.items()}
    found = [f"{key}: missing" for key in wanted if key not in given]
    for key, template in given.items():
        if key not in wanted:
            found.append(f"{key}: no reason says this")
        elif words := _misused(template, wanted[key]):
            found.append(f"{key}: {words}")
    return found


def _misused(template: Any, fields: set[str]) -> str | None:
    """What is wrong with the fields of a template."""
    if not isinstance(template, str):
        return f"must be text, not {template!r}"
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        return f"{error} in {template!r}"
    used = {name for _, name, _, _ in parts if name is not None}
    if used == fields and not any(spec or how for _, _, spec, how in parts):
        return None
    needs = ", ".join(f"{{{name}}}" for name in sorted(fields)) or "no field"
    return f"must have {needs} and nothing else in braces, not {template!r}"
