"""Counts and numbers in words, the same wherever they are printed."""

from __future__ import annotations

from crossrec_llm.evaluation.measures import Interval

MINUS = "\N{MINUS SIGN}"


def counted(n: int, one: str, many: str = "") -> str:
    """Spell a count: "1 item", "2 items"; `many` where an s is not enough ("2 people have")."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def people(n: int) -> str:
    """Spell a number of people: "1 person", "2 people"."""
    return counted(n, "person", "people")


def number(value: float, digits: int = 3) -> str:
    """With a minus sign rather than a hyphen."""
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", MINUS)


def signed(value: float, digits: int = 3) -> str:
    """A difference, which has a sign in front."""
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", MINUS)


def spread(found: Interval) -> str:
    """A mean and its interval: "0.120 (0.100 to 0.140)"."""
    return f"{number(found.value)} ({number(found.low)} to {number(found.high)})"


def apart(found: Interval) -> str:
    """A difference and its interval: "+0.020 (−0.010 to +0.050)"."""
    return f"{signed(found.value)} ({signed(found.low)} to {signed(found.high)})"
