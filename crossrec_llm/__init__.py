"""A recommender that reads: meaning and behaviour in one semantic space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from crossrec_llm.builder import BuildReport, build
    from crossrec_llm.comparing import (
        Comparison,
        Counterfactual,
        Replay,
        compare,
        counterfactual,
        read_answer,
        replay,
    )
    from crossrec_llm.correcting import pin, strike, strike_interest, undo
    from crossrec_llm.erasing import ErasureReceipt, erase_items, forget_user
    from crossrec_llm.errors import CrossrecError
    from crossrec_llm.filter import Filter
    from crossrec_llm.live import LiveReport, add_events, add_items, remove_items
    from crossrec_llm.profiles import Correction, Profile
    from crossrec_llm.recipe import Recipe
    from crossrec_llm.recommender import Recommender
    from crossrec_llm.records import (
        Audience,
        AudienceMember,
        Contribution,
        Item,
        Reason,
        Recommendation,
        Recommendations,
    )

__all__ = [
    "Audience",
    "AudienceMember",
    "BuildReport",
    "Comparison",
    "Contribution",
    "Correction",
    "Counterfactual",
    "CrossrecError",
    "ErasureReceipt",
    "Filter",
    "Item",
    "LiveReport",
    "Profile",
    "Reason",
    "Recipe",
    "Recommendation",
    "Recommendations",
    "Recommender",
    "Replay",
    "add_events",
    "add_items",
    "build",
    "compare",
    "counterfactual",
    "erase_items",
    "forget_user",
    "pin",
    "read_answer",
    "remove_items",
    "replay",
    "strike",
    "strike_interest",
    "undo",
]

_HOMES = {
    "BuildReport": "builder",
    "build": "builder",
    "Comparison": "comparing",
    "Counterfactual": "comparing",
    "Replay": "comparing",
    "compare": "comparing",
    "counterfactual": "comparing",
    "read_answer": "comparing",
    "replay": "comparing",
    "pin": "correcting",
    "strike": "correcting",
    "strike_interest": "correcting",
    "undo": "correcting",
    "LiveReport": "live",
    "add_events": "live",
    "add_items": "live",
    "remove_items": "live",
    "Correction": "profiles",
    "Profile": "profiles",
    "ErasureReceipt": "erasing",
    "erase_items": "erasing",
    "forget_user": "erasing",
    "CrossrecError": "errors",
    "Filter": "filter",
    "Recipe": "recipe",
    "Recommender": "recommender",
}


def __getattr__(name: str) -> Any:
    """Public names are imported when first used, so that importing the package costs nothing."""
    from importlib import import_module

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'records')}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
