"""Separate indexes in one service, and who may ask which of them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from crossrec_llm.recommender import Recommender

Scope = Literal["read", "write", "admin"]
"""What a caller may do: ask; add events, items and corrections too; erase and see people too."""


@dataclass(frozen=True, eq=False)
class Tenant:
    """One index of a service."""

    name: str
    index: Path
    recommender: Recommender


@dataclass(frozen=True)
class Caller:
    """Who asks: of which tenant, and what they may do."""

    tenant: Tenant
    scopes: frozenset[Scope]


class Tenants:
    """The indexes of a service by the name of their tenant, open until it is closed.

    Raises
    ------
    IndexMissing, IndexMismatch, IndexDamaged : of the first that cannot be opened.
    """

    def __init__(self, indexes: Mapping[str, Path]) -> None:
        self._by_name: dict[str, Tenant] = {}
        with ExitStack() as opened:
            for name, index in indexes.items():
                recommender = opened.enter_context(Recommender.open(index))
                self._by_name[name] = Tenant(name, index, recommender)
            self._opened = opened.pop_all()

    def __getitem__(self, name: str) -> Tenant:
        return self._by_name[name]

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def close(self) -> None:
        self._opened.close()
