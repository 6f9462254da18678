"""What a check found in somebody's data: plain words, a grade, and the limit behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from crossrec_llm.evaluation.words import counted

Grade = Literal["ok", "look", "bad"]

EXAMPLES = 3
_SHOWN = 100


@dataclass(frozen=True)
class Limit:
    """When a check is worth a look or bad, and what it means then.

    Parameters
    ----------
    look, bad : shares above which it is that; bad None = never.
    means : why it matters, or what to do.
    """

    look: float
    bad: float | None
    means: str

    def grade(self, share: float) -> Grade:
        if self.bad is not None and share > self.bad:
            return "bad"
        return "look" if share > self.look else "ok"

    def __str__(self) -> str:
        bad = "" if self.bad is None else f", bad above {self.bad * 100:g}%"
        look = "" if self.look == self.bad else f"look above {self.look * 100:g}%"
        return (look + bad).removeprefix(", ")


LIMITS = {
    # of the items
    "short texts": Limit(0.10, 0.50, "an encoder has little to read"),
    "long texts": Limit(0.20, None, "small encoders read about so much, the end is lost"),
    "same text": Limit(
        0.01, 0.20, "they get the same vector, so one can stand for the other in a list"
    ),
    "nearly the same text": Limit(0.05, 0.30, "variants of one thing, or copies; lists fill up"),
    "other languages": Limit(0.10, 0.50, "take a multilingual one: [encoder] model in the recipe"),
    "boilerplate": Limit(0.30, None, "it makes unlike things alike; leave it out of the template"),
    "left-overs": Limit(0.01, 0.20, "it is encoded like words"),
    "no category": Limit(0.05, 0.50, "nothing can cross to them"),
    "largest category": Limit(0.80, None, "little can be crossed to"),
    "tiny categories": Limit(
        0.20, None, "is it a column of paths, with a separator that was not found?"
    ),
    "items hardly taken": Limit(0.50, 0.95, "behaviour says little about them, text has to"),
    # of the people
    "short histories": Limit(0.50, 0.95, "they are not asked, and little is learned from them"),
    "stay in one category": Limit(0.90, 0.99, "behaviour alone will not cross"),
    "found through a twin": Limit(0.005, 0.05, "hiding it tests nothing"),
    "people twice": Limit(0.0, 0.01, "what is hidden of one is known from the other"),
    "last item is a toss-up": Limit(0.20, None, "which one is hidden is chance"),
    # of the events
    "no time": Limit(0.0, 0.50, "their order is the file's"),
    "time of another kind": Limit(0.0, 0.05, "two units or two sources are mixed"),
    "in the future": Limit(0.0, 0.01, "nothing can come after them"),
    # of the held-out events
    "held out, and in the log": Limit(0.0, 0.0, "what is asked for was learned"),
    "held out, its twin in the log": Limit(0.005, 0.05, "it is found by its text alone"),
    "log goes on after it": Limit(0.0, 0.10, "what came later was learned"),
}
"""Every threshold of a finding, named once; values are shares, 0 to 1."""


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes
    ----------
    check : its name, a key of LIMITS where it has a limit.
    grade : "ok", "look" (see whether it matters to you) or "bad" (mend it first).
    words : what was found, in plain words with its numbers.
    means : why it matters where it is not ok, or what to do; "" where the words say it.
    value : the share that was graded; None where there is none.
    limit : the threshold in words; "" = none.
    examples : what it looks like.
    """

    check: str
    grade: Grade
    words: str
    means: str = ""
    value: float | None = None
    limit: str = ""
    examples: tuple[str, ...] = ()


def found(check: str, share: float, words: str, examples: Sequence[str] = ()) -> Finding:
    """A finding graded by its limit; examples are cut to a line."""
    limit = LIMITS[check]
    grade = limit.grade(share)
    return Finding(check, grade, words, limit.means, float(share), str(limit), shown(examples))


def shown(examples: Sequence[str]) -> tuple[str, ...]:
    """The first few, each short enough for a line."""
    return tuple(e if len(e) <= _SHOWN else f"{e[: _SHOWN - 3]}..." for e in examples[:EXAMPLES])


def part(n: int, of: int, one: str, many: str = "") -> str:
    """Spell a part: "12 of 400 items (3.0%)"."""
    whole = counted(of, one, many)
    return f"{n:,} of {whole} ({n / of:.1%})" if of else whole
