"""An address -> what is asked, and back: every setting of a page is in its address."""

from __future__ import annotations

from collections.abc import Iterable
from types import UnionType
from typing import Annotated, Any, Self, Union, get_args, get_origin
from urllib.parse import urlencode

from fastapi.exceptions import RequestValidationError
from pydantic import Field, ValidationError

from crossrec_llm.errors import QueryError
from crossrec_llm.filter import BOOST
from crossrec_llm.recommender import Recommender
from crossrec_llm.records import Recommendations, SimilarMode
from crossrec_llm.service.bodies import Id, Narrowed

Pairs = Iterable[tuple[str, str]]


class Settings(Narrowed):
    """One list: for a person, for a text (bent toward a person), or like an item."""

    user: Id | None = None
    text: Annotated[str, Field(min_length=1)] | None = None
    item: Id | None = None
    mode: SimilarMode = "both"

    @classmethod
    def of(cls, pairs: Pairs) -> Self:
        """From the names and values of an address; what is empty is not set.

        A slider that is left to the scores stands as `auto=NAME`.

        Raises
        ------
        RequestValidationError : every setting that there is not, or that cannot be used.
        """
        given: dict[str, list[str]] = {}
        for name, value in pairs:
            if value.strip():
                given.setdefault(name, []).append(value.strip())
        for name in given.pop("auto", ()):
            given.pop(name, None)
        read = {name: _read(cls, name, values) for name, values in given.items()}
        try:
            return cls.model_validate(read)
        except ValidationError as error:
            wrong = [{**entry, "loc": ("query", *entry["loc"])} for entry in error.errors()]
            raise RequestValidationError(wrong) from error

    @property
    def asks(self) -> bool:
        """Whether there is anything to answer."""
        return any((self.user, self.text, self.item))

    @property
    def subject(self) -> str:
        """What the list is for, in words."""
        if self.item is not None:
            return f"more like {self.item}"
        if self.text is None:
            return f"for {self.user}"
        return f"for “{self.text}”" + (f" and {self.user}" if self.user else "")

    def answer(self, rec: Recommender) -> Recommendations:
        """The list.

        Raises
        ------
        QueryError : nothing is asked, or an item and something else. Others as the question's.
        """
        if self.item is not None:
            if self.user or self.text:
                raise QueryError("give an item, or a person and a text, not both")
            return rec.similar(self.item, mode=self.mode, **self.asking())
        if self.text is not None:
            return rec.like(self.text, user=self.user, **self.asking())
        if self.user is None:
            raise QueryError("give a person, a text or an item")
        return rec.for_user(self.user, **self.asking())

    def set_fields(self) -> dict[str, Any]:
        """What differs from the defaults, by name."""
        return self.model_dump(exclude_defaults=True)

    def pairs(self) -> list[tuple[str, str]]:
        """Names and values for an address, or for hidden fields of a form."""
        found = []
        for name, value in self.set_fields().items():
            if isinstance(value, dict):
                value = [f"{key}={number:g}" for key, number in value.items()]
            values = value if isinstance(value, list | tuple) else [value]
            found += [(name, str(one).lower() if isinstance(one, bool) else str(one))
                      for one in values]  # fmt: skip
        return found

    def address(self, **changes: Any) -> str:
        """The part of an address after "?", with some settings changed; None takes one out."""
        given = {name: value for name, value in changes.items() if value is not None}
        kept = {name: value for name, value in self.set_fields().items() if name not in changes}
        return urlencode(type(self).model_validate({**kept, **given}).pairs())


def _read(cls: type[Settings], name: str, values: list[str]) -> Any:
    """The value of a field from all that an address says of it: lists keep all, others the last."""
    field = cls.model_fields.get(name)
    kind = _kind(field.annotation) if field else None
    if kind is list:
        return values
    if kind is dict:
        return dict(_weighed(value) for value in values)
    return values[-1]


def _kind(annotation: Any) -> Any:
    """List or dict where a field is one, or may be."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType, Annotated):
        return next((kind for one in get_args(annotation) if (kind := _kind(one))), None)
    return origin if origin in (list, dict) else None


def _weighed(text: str) -> tuple[str, float | str]:
    """NAME=0.3; a name alone has the strength of a boost."""
    name, _, number = text.rpartition("=")
    return (name, number) if name else (text, BOOST)
