"""How often may be asked: by one key, and by a tenant; counted in memory, in each process."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from crossrec_llm.service.options import RateOptions
from crossrec_llm.service.problems import Refused

_WINDOW = 60


@dataclass(frozen=True)
class _Limit:
    """`who` and `id`: what is counted together."""

    who: str
    id: str
    item: RateLimitItem


class Rates:
    """Counts the requests of the last minute, by a sliding window."""

    def __init__(self, options: RateOptions) -> None:
        self._key = RateLimitItemPerMinute(options.key) if options.key else None
        self._tenant = RateLimitItemPerMinute(options.tenant) if options.tenant else None
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    def count(self, key: str, tenant: str) -> dict[str, str]:
        """Count one request; the headers that tell what is left (draft-ietf-httpapi-ratelimit).

        Parameters
        ----------
        key, tenant : their names.

        Raises
        ------
        Refused : it is one too many (429).
        """
        limits = [
            _Limit(who, id, item)
            for who, id, item in (
                ("key", key, self._key),
                ("tenant", tenant, self._tenant),
            )
            if item is not None
        ]
        over = [one for one in limits if not self._limiter.test(one.item, one.who, one.id)]
        if not over:
            for one in limits:
                self._limiter.hit(one.item, one.who, one.id)
        headers, waits = self._told(limits)
        if over:
            wait = max(waits[one.who] for one in over)
            raise Refused(
                429,
                "too-many-requests",
                f"more than {over[0].item.amount:,} requests a minute by this {over[0].who}: ask "
                f"again in {wait} s",
                {**headers, "Retry-After": str(wait)},
            )
        return headers

    def _told(self, limits: list[_Limit]) -> tuple[dict[str, str], dict[str, int]]:
        """Headers, and after how many seconds there is something left again, by who."""
        waits: dict[str, int] = {}
        left, policy = [], []
        for one in limits:
            reset, remaining = self._limiter.get_window_stats(one.item, one.who, one.id)
            waits[one.who] = min(_WINDOW, max(1, math.ceil(reset - time.time())))
            left.append(f'"{one.who}";r={remaining};t={waits[one.who]}')
            policy.append(f'"{one.who}";q={one.item.amount};w={_WINDOW}')
        if not limits:
            return {}, waits
        return {"RateLimit": ", ".join(left), "RateLimit-Policy": ", ".join(policy)}, waits
