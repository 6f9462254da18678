"""How long what failed is left alone."""

from __future__ import annotations

import time
from collections.abc import Callable

_FIRST, _LONGEST = 1.0, 60.0  # seconds


class Rest:
    """A second for what failed, twice as long after each further failure, at most a minute.

    Parameters
    ----------
    clock : seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until = self._length = 0.0

    @property
    def failed(self) -> bool:
        """Whether it failed when it was tried last."""
        return self._length > 0

    @property
    def over(self) -> bool:
        """Whether it may be tried."""
        return not self.failed or self._clock() >= self._until

    def fail(self) -> None:
        """It failed: a longer rest begins."""
        self._length = min(2 * self._length or _FIRST, _LONGEST)
        self.begin()

    def begin(self) -> None:
        """The rest begins once more, if there is one."""
        self._until = self._clock() + self._length

    def end(self) -> None:
        """It did not fail."""
        self._length = 0.0
