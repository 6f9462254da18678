"""One question -> one list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Le

from crossrec_llm.answering.absence import explain_absence
from crossrec_llm.answering.account import Account
from crossrec_llm.answering.arranging import Arranged, Demands, arrange, quota
from crossrec_llm.answering.asking import (
    COMPANY_NOTES,
    Ask,
    Company,
    company_of,
    notes,
    situation_of,
)
from crossrec_llm.answering.blend import (
    Blend,
    BlendOptions,
    Situation,
    SituationName,
    WeightedBlend,
)
from crossrec_llm.answering.bridges import Bridge, BridgeList, Bridges, BridgesOptions, Gate
from crossrec_llm.answering.candidates import (
    Views,
    carry_all,
    pool,
    propose,
    score_all,
)
from crossrec_llm.answering.explaining import reasons
from crossrec_llm.answering.exploring import (
    ExperimentsOptions,
    Explored,
    alike_by_rule,
    explore,
    luck,
)
from crossrec_llm.answering.filters import alike, allowed_rows, crosses, home_categories
from crossrec_llm.answering.interests import (
    Interest,
    InterestsOptions,
    OwnLists,
    find_interests,
)
from crossrec_llm.answering.jumps import EVIDENCE, TOP, JumpModel, jump_features
from crossrec_llm.answering.learned import LearnedBlend, features
from crossrec_llm.answering.policy import Policy, PolicyOptions, Ruling
from crossrec_llm.answering.profile import Known, describe, make_query, record_of
from crossrec_llm.answering.ranking import Ranked, Ranking
from crossrec_llm.answering.rules import Rules
from crossrec_llm.answering.searching import PlannedSearch, SearchOptions, Standby
from crossrec_llm.answering.standing import RulesOptions, Standing
from crossrec_llm.answering.stated import ProfileOptions, StatedBlend
from crossrec_llm.answering.tuned import Tuned, TunedBlend
from crossrec_llm.answering.wording import Wording, shorten
from crossrec_llm.records import STRICT

__all__ = [
    "COMPANY_NOTES",
    "EVIDENCE",
    "TOP",
    "Account",
    "AnsweringOptions",
    "Arranged",
    "Ask",
    "Blend",
    "BlendOptions",
    "Bridge",
    "BridgeList",
    "Bridges",
    "BridgesOptions",
    "Company",
    "Demands",
    "ExperimentsOptions",
    "Explored",
    "Gate",
    "Interest",
    "InterestsOptions",
    "JumpModel",
    "Known",
    "LearnedBlend",
    "OwnLists",
    "PlannedSearch",
    "Policy",
    "PolicyOptions",
    "ProfileOptions",
    "Ranked",
    "Ranking",
    "Rules",
    "RulesOptions",
    "Ruling",
    "SearchOptions",
    "Situation",
    "SituationName",
    "Standby",
    "Standing",
    "StatedBlend",
    "Tuned",
    "TunedBlend",
    "Views",
    "WeightedBlend",
    "Wording",
    "alike",
    "alike_by_rule",
    "allowed_rows",
    "arrange",
    "carry_all",
    "company_of",
    "crosses",
    "describe",
    "explain_absence",
    "explore",
    "features",
    "find_interests",
    "home_categories",
    "jump_features",
    "luck",
    "make_query",
    "notes",
    "pool",
    "propose",
    "quota",
    "reasons",
    "record_of",
    "score_all",
    "shorten",
    "situation_of",
]


@dataclass(frozen=True)
class AnsweringOptions:
    """Defaults of an answer that a question may override.

    n_candidates : size of the pool that is ranked.
    diversity : 0 (relevance only) to 1.
    too_alike : with mode `together`, what reads this much like the asked item is left out: the
        cosine of the texts as encoded. Such items are copies, other sizes, substitutes; 1 leaves
        out next to nothing.
    language : of the reasons: "en", "de", or the path of a file like prompts/reasons.en.toml.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    n_candidates: Annotated[int, Ge(1)] = 500
    diversity: Annotated[float, Ge(0), Le(1)] = 0.0
    too_alike: Annotated[float, Ge(0), Le(1)] = 0.75
    language: str = "en"
