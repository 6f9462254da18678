"""Separate indexes in one service, and who may ask which of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from crossrec_llm.errors import CrossrecError
from crossrec_llm.recommender import Recommender
from crossrec_llm.service.keys import SCOPES, Scope

logger = logging.getLogger(__name__)

ALL_SCOPES: frozenset[Scope] = frozenset(SCOPES)

AGAIN = 5.0
"""Seconds after which an index that could not be opened is tried again, at the earliest."""


class Tenant:
    """One index of a service; where it cannot be opened, the others answer all the same."""

    def __init__(self, name: str, index: Path) -> None:
        self.name, self.index = name, index
        self._opening = Lock()
        self._recommender: Recommender | None = None
        self._failed: CrossrecError | None = None
        self._tried = 0.0

    @property
    def recommender(self) -> Recommender:
        """Opened, or tried once more.

        Raises
        ------
        CrossrecError : why it cannot be opened.
        """
        with self._opening:
            if self._recommender is None:
                if self._failed is not None and time.monotonic() < self._tried + AGAIN:
                    raise self._failed
                try:
                    self._recommender, self._failed = Recommender.open(self.index), None
                except CrossrecError as error:
                    logger.error("the index of tenant %r cannot be opened: %s", self.name, error)
                    self._failed, self._tried = error, time.monotonic()
                    raise
            return self._recommender

    @property
    def generation(self) -> str | None:
        """The one that answers; None where none can."""
        try:
            return self.recommender.receipt.generation
        except (CrossrecError, OSError) as error:
            logger.error("the index of tenant %r does not answer: %s", self.name, error)
            return None

    def close(self) -> None:
        with self._opening:
            if self._recommender is not None:
                self._recommender.close()
                self._recommender = None


@dataclass(frozen=True)
class Caller:
    """Who asks: of which tenant, and what they may do.

    name : of their key; "" without keys.
    """

    tenant: Tenant
    scopes: frozenset[Scope]
    name: str = ""


class Tenants:
    """The indexes of a service by the name of their tenant, open until it is closed.

    Raises
    ------
    IndexMissing, IndexMismatch, IndexDamaged : of the first, where none can be opened.
    """

    def __init__(self, indexes: Mapping[str, Path]) -> None:
        self._by_name = {name: Tenant(name, index) for name, index in indexes.items()}
        failed: list[CrossrecError] = []
        for tenant in self:
            try:
                _ = tenant.recommender
            except CrossrecError as error:
                failed.append(error)
        if failed and len(failed) == len(self):
            raise failed[0]

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> Tenant:
        return self._by_name[name]

    def __iter__(self) -> Iterator[Tenant]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def close(self) -> None:
        for tenant in self:
            tenant.close()
