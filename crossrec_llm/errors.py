"""Every error that crossrec raises on purpose.

CrossrecError
 + DataError (ValueError)      input that cannot be used: file, line, column, what was expected
 + RecipeError (ValueError)    every problem of a recipe at once
 + TemplateError (ValueError)  an unknown or missing field in a text template
 + QueryError (ValueError)     a question that makes no sense: a negative k, a share above 1
 + NotFound (LookupError)
 |  + UnknownItem, UnknownUser with near matches; UnknownExposure, UnknownExperiment
 + StoreError
 |  + IndexMissing             nothing there yet
 |  + IndexMismatch            made by another model, template or version: what differs
 |  + IndexLocked              another process writes: who, where and since when
 |  + IndexDamaged             a part is missing or is not what the manifest says
 |  + StoreUnavailable         the disk is full, the Chroma server does not answer
 + ModelError                  an encoder that cannot be found, or is not the one it claims to be
 + MissingExtra (ImportError)  names the extra to install
"""

from __future__ import annotations

from collections.abc import Sequence


class CrossrecError(Exception):
    """Base of all errors below; its text is one clear line that names the fix."""


class DataError(CrossrecError, ValueError):
    """Input that cannot be used.

    Parameters
    ----------
    message : what is wrong and what was expected.
    source : the file (or frame) it is in.
    line : 1-based line of the file, where one is known.
    column : the column's name in the file, where one is known.
    """

    def __init__(
        self,
        message: str,
        *,
        source: str = "",
        line: int | None = None,
        column: str | None = None,
    ) -> None:
        self.source, self.line, self.column = source, line, column
        place = ":".join(str(part) for part in (source, line) if part not in ("", None))
        if column is not None:
            place += f" column {column!r}"
        super().__init__(f"{place.strip()}: {message}" if place else message)


class RecipeError(CrossrecError, ValueError):
    """All problems of one recipe, each with its line where it is known."""

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        self.source, self.problems = source, tuple(problems)
        count = f"{len(self.problems)} problem{'s' if len(self.problems) != 1 else ''}"
        super().__init__("\n".join([f"{source}: {count}", *(f"  {p}" for p in self.problems)]))


class TemplateError(CrossrecError, ValueError):
    """A template that names a field which does not exist, or that cannot be parsed."""


class QueryError(CrossrecError, ValueError):
    """A question whose values make no sense together."""


class NotFound(CrossrecError, LookupError):
    """An id that the index does not hold; `near` lists ids that look like it."""

    noun = "entry"

    def __init__(self, id: str, near: Sequence[str] = ()) -> None:
        self.id, self.near = id, tuple(near)
        shown = id if len(id) <= 80 else f"{id[:77]}..."
        hint = f"; did you mean {', '.join(map(repr, self.near))}?" if self.near else ""
        super().__init__(f"no {self.noun} {shown!r} in this index{hint}")


class UnknownItem(NotFound):
    noun = "item"


class UnknownUser(NotFound):
    noun = "user"


class UnknownExposure(NotFound):
    noun = "exposure"


class UnknownExperiment(NotFound):
    noun = "experiment"


class StoreError(CrossrecError):
    """The index on disk, or its Chroma server, cannot do what was asked."""


class IndexMissing(StoreError):
    """There is no index at this place."""


class IndexMismatch(StoreError):
    """The index was made by something else than what is asked of it now."""


class IndexLocked(StoreError):
    """Another process holds the index for writing."""


class IndexDamaged(StoreError):
    """A part of the index is missing or unreadable."""


class StoreUnavailable(StoreError):
    """The disk or the server refused; nothing that was acknowledged is lost."""


class ModelError(CrossrecError):
    """The encoder's files are not there, or their hash is not the expected one."""


class MissingExtra(CrossrecError, ImportError):
    """An optional package is needed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package} is not installed: pip install 'crossrec-llm[{extra}]' brings it"
        )
