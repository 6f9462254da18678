"""One question -> one list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Le

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
from crossrec_llm.answering.bridges import Bridge, Bridges, BridgesOptions, Gate
from crossrec_llm.answering.candidates import (
    PlannedSearch,
    SearchOptions,
    carry_all,
    pool,
    propose,
    score_all,
)
from crossrec_llm.answering.explaining import reasons, shorten
from crossrec_llm.answering.filters import alike, allowed_rows, crosses, home_categories
from crossrec_llm.answering.jumps import EVIDENCE, TOP, JumpModel, jump_features
from crossrec_llm.answering.learned import LearnedBlend, features
from crossrec_llm.answering.profile import make_query
from crossrec_llm.answering.rules import Rules
from crossrec_llm.answering.standing import RulesOptions, Standing
from crossrec_llm.answering.tuned import Tuned, TunedBlend
from crossrec_llm.records import STRICT

__all__ = [
    "COMPANY_NOTES",
    "EVIDENCE",
    "TOP",
    "AnsweringOptions",
    "Arranged",
    "Ask",
    "Blend",
    "BlendOptions",
    "Bridge",
    "Bridges",
    "BridgesOptions",
    "Company",
    "Demands",
    "Gate",
    "JumpModel",
    "LearnedBlend",
    "PlannedSearch",
    "Rules",
    "RulesOptions",
    "SearchOptions",
    "Situation",
    "SituationName",
    "Standing",
    "Tuned",
    "TunedBlend",
    "WeightedBlend",
    "alike",
    "allowed_rows",
    "arrange",
    "carry_all",
    "company_of",
    "crosses",
    "features",
    "home_categories",
    "jump_features",
    "make_query",
    "notes",
    "pool",
    "propose",
    "quota",
    "reasons",
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
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    n_candidates: Annotated[int, Ge(1)] = 500
    diversity: Annotated[float, Ge(0), Le(1)] = 0.0
    too_alike: Annotated[float, Ge(0), Le(1)] = 0.75
