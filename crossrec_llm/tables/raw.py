"""A source as it was read, before any column is understood; and how reading can be set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np
import pyarrow as pa
from annotated_types import Ge

from crossrec_llm.errors import DataError
from crossrec_llm.records import STRICT
from crossrec_llm.tables.report import Lost

Choose = Callable[[list[str]], list[str]]
"""From all column names of a source to those that are wanted."""

FREE_BYTES = 64 << 20
"""Below this size nothing is a decompression bomb."""


@dataclass(frozen=True)
class FormatOptions:
    """How files are read; what is left alone is found out.

    Parameters
    ----------
    encoding : of text files ("cp1252", "cp1250", "gb18030" ...).
    delimiter : of delimited files, one or more characters.
    header : column names of delimited files that have no header line.
    max_bytes : a file that is larger than this, unpacked, is refused.
    max_expansion : so is a packed file that grows more than this many times (and beyond 64 MiB).
    max_columns : so is a file with more columns.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    encoding: str = ""
    delimiter: str = ""
    header: tuple[str, ...] = ()
    max_bytes: Annotated[int, Ge(1)] = 4 << 30
    max_expansion: Annotated[int, Ge(1)] = 200
    max_columns: Annotated[int, Ge(2)] = 5_000


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that could not be read."""

    line: int
    reason: str
    content: str


@dataclass(frozen=True, eq=False)
class RawTable:
    """What a source holds.

    Attributes
    ----------
    source : its name in messages.
    format : "delimited", "json lines", "parquet" or "table".
    table : raw columns; all of them text when a text file was delimited.
    lines : (n,) int64 1-based line each row starts at; the row number in parquet and tables.
    bad : rows that are not in `table`.
    encoding, delimiter : of text; "" otherwise.
    guessed : whether the encoding is no more than the likeliest one.
    repairs : kind -> count.
    lost : columns with cells that were not understood.
    notes : what had to be assumed, in words.
    """

    source: str
    format: str
    table: pa.Table
    lines: np.ndarray
    bad: Sequence[BadRow] = ()
    encoding: str = ""
    delimiter: str = ""
    repairs: Counter[str] = field(default_factory=Counter)
    guessed: bool = False
    lost: list[Lost] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def rows_read(self) -> int:
        return int(self.table.num_rows) + len(self.bad)


class EmptySource(DataError):
    """A source without a single row."""


def too_large(label: str, options: FormatOptions) -> DataError:
    return DataError(
        f"is larger than {options.max_bytes:,} bytes unpacked; split it, or raise max_bytes in"
        " the recipe",
        source=label,
    )


def too_wide(n: int, label: str, options: FormatOptions) -> DataError:
    return DataError(
        f"has {n:,} columns, at most {options.max_columns:,} are read; a wrong delimiter? set"
        " delimiter, or max_columns, in the recipe",
        source=label,
        line=1,
    )
