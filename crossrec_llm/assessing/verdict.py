"""What was measured -> what to do, by rules that are written down here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from crossrec_llm.assessing.trial import ALONE, BLEND, LEAST_CASES, Bridge, K, Trial
from crossrec_llm.evaluation.words import apart, number, people, spread

Answer = Literal["together", "text", "neighbours", "popularity", "open"]

MATTERS = 0.10  # a lead that cannot be more than this part of the other's NDCG is none
MATTERS_AT_LEAST = 0.001  # in NDCG, where the other's is next to nothing

RULES = f"""\
Asked are people whose hidden items are known: after one cut in time where the timestamps are one
clock for all, else everybody's last item. NDCG@{K} of four systems is compared on the same people:
popularity, item neighbours, meaning alone, and the full blend.
1. Fewer than {LEAST_CASES} people asked: too little data to tell, or too small a sample of it.
2. The blend is ahead of another when the 95 % interval of the paired difference lies above 0. It is
   not ahead when the whole interval lies below {MATTERS:.0%} of the other's NDCG; else it is open.
3. Ahead of all three: yes, meaning and behaviour together.
4. Else the best of those that it is not ahead of is the advice, or popularity where that one is
   not ahead of popularity either: "use popularity" and "use item neighbours" are a no; "meaning
   alone" says that the log adds nothing yet. If it is open whether the blend is ahead of that one,
   the verdict is open too, and says how many people would tell.
5. A bridge from one category to another is credible when, over the people whose hidden items lie
   there, the interval of the paired recall@{K} difference of blend and popularity lies above 0, and
   that of the blend's recall above chance; it has no credible base when it does not and
   {LEAST_CASES} people or more were asked; with fewer it is open."""


@dataclass(frozen=True)
class BridgeVerdict:
    """Whether crossing there can be trusted: "yes", "no" or "open"."""

    home: str
    target: str
    credible: Literal["yes", "no", "open"]
    words: str


@dataclass(frozen=True)
class Verdict:
    """The advice.

    Attributes
    ----------
    answer : "together", "text" (meaning alone), "neighbours", "popularity" or "open".
    words : in one sentence; reasons : what it rests on.
    """

    answer: Answer
    words: str
    reasons: tuple[str, ...] = ()
    bridges: tuple[BridgeVerdict, ...] = ()

    @property
    def is_no(self) -> bool:
        """Whether something simpler does as well."""
        return self.answer in ("neighbours", "popularity")


_NAMES = {"popularity": "popularity", "neighbours": "item neighbours", "text": "meaning alone"}
_SIMPLER = {
    "popularity": "No: use popularity; neither meaning nor behaviour tells people apart here",
    "neighbours": "No: use item neighbours; the text adds nothing",
    "text": "Yes, but meaning alone does it; behaviour adds nothing yet",
}


def too_little(why: str) -> Verdict:
    """The verdict when nothing could be measured."""
    return Verdict("open", f"Too little data to tell: {why}")


def decide(trial: Trial) -> Verdict:
    """Apply RULES."""
    bridges = tuple(_bridge(bridge) for bridge in trial.bridges)
    if trial.users < LEAST_CASES:
        what = "Too small a sample" if trial.drawn else "Too little data"
        fix = "; give it more minutes" if trial.drawn else ""
        words = (
            f"{what} to tell: {people(trial.users)} can be asked, and at least {LEAST_CASES} are "
            f"needed{fix}; the numbers are for a look only"
        )
        return Verdict("open", words, (), bridges)
    states = {name: _state(trial, name) for name in ALONE}
    reasons = tuple(_reason(trial, name, states[name]) for name in ALONE)
    behind = [name for name in ALONE if states[name] != "ahead"]
    if not behind:
        rival = max(ALONE, key=lambda name: _ndcg(trial, name))
        lead = trial.ahead[rival]
        part = f" ({lead.value / _ndcg(trial, rival):+.0%})" if _ndcg(trial, rival) else ""
        words = (
            f"Yes: meaning and behaviour together beat each alone and popularity; the best of "
            f"them, {_NAMES[rival]}, by {apart(lead)} NDCG@{K}{part}"
        )
        return Verdict("together", words, reasons, bridges)
    rival = max(behind, key=lambda name: _ndcg(trial, name))
    if "popularity" in behind and rival in trial.over_popularity:
        rival = rival if trial.over_popularity[rival].low > 0 else "popularity"
    if states[rival] == "not ahead":
        return Verdict(_answer(rival), _SIMPLER[rival], reasons, bridges)
    words = (
        f"Open: whether the blend beats {_NAMES[rival]} cannot be told from "
        f"{people(trial.users)}{_needed(trial, rival)}"
    )
    return Verdict("open", words, reasons, bridges)


def _answer(name: str) -> Answer:
    answers: dict[str, Answer] = {
        "popularity": "popularity",
        "neighbours": "neighbours",
        "text": "text",
    }
    return answers[name]


def _ndcg(trial: Trial, name: str) -> float:
    return trial.systems[name][f"ndcg@{K}"].value


def _state(trial: Trial, name: str) -> Literal["ahead", "not ahead", "open"]:
    lead = trial.ahead[name]
    if lead.low > 0:
        return "ahead"
    limit = max(MATTERS * _ndcg(trial, name), MATTERS_AT_LEAST)
    return "not ahead" if lead.high < limit else "open"


def _reason(trial: Trial, name: str, state: str) -> str:
    what = {
        "ahead": "the blend is ahead of",
        "not ahead": "the blend is not ahead of",
        "open": "it is open whether the blend is ahead of",
    }[state]
    return f"{what} {_NAMES[name]}: {apart(trial.ahead[name])} NDCG@{K}"


def _needed(trial: Trial, name: str) -> str:
    """How many people would make the interval as narrow as the difference is large."""
    lead = trial.ahead[name]
    width = (lead.high - lead.low) / 2
    if lead.value <= 0 or width / lead.value > 30:
        return "; no number of people that a log has would show so small a difference"
    wanted = trial.users * (width / lead.value) ** 2
    return f"; about {max(wanted, trial.users + 1):,.0f} would tell"


def _bridge(bridge: Bridge) -> BridgeVerdict:
    own, popular = bridge.recall[BLEND], bridge.recall["popularity"]
    told = f"recall {spread(own)}, popularity {number(popular.value)}"
    told += f", apart {apart(bridge.ahead)}, {people(bridge.users)}"
    stands = bridge.ahead.low > 0 and own.low > bridge.chance
    credible: Literal["yes", "no", "open"] = "yes"
    words = f"crossing {bridge.home} -> {bridge.target} is credible: {told}"
    if not stands and bridge.users >= LEAST_CASES:
        credible = "no"
        words = f"crossing {bridge.home} -> {bridge.target} has no credible bridge: {told}"
    elif not stands:
        credible = "open"
        words = f"crossing {bridge.home} -> {bridge.target} is open, too few people: {told}"
    return BridgeVerdict(bridge.home, bridge.target, credible, words)
