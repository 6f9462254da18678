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
        why_not,
    )
    from crossrec_llm.correcting import pin, strike, strike_interest, undo
    from crossrec_llm.erasing import ErasureReceipt, erase_items, forget_user
    from crossrec_llm.errors import CrossrecError
    from crossrec_llm.filter import Filter
    from crossrec_llm.live import LiveReport, add_events, add_items, remove_items
    from crossrec_llm.profiles import Correction, Profile
    from crossrec_llm.publishing import (
        Cleared,
        KeptGeneration,
        due,
        gc,
        generations,
        publish,
        rollback,
    )
    from crossrec_llm.recipe import Recipe
    from crossrec_llm.recommender import Recommender
    from crossrec_llm.records import (
        Absence,
        Audience,
        AudienceMember,
        Contribution,
        Item,
        Reason,
        Recommendation,
        Recommendations,
    )
    from crossrec_llm.rehearsing import Rehearsal, rehearse
    from crossrec_llm.safekeeping import (
        Copied,
        Problem,
        Repaired,
        Verification,
        backup,
        repair,
        restore,
        verify,
    )
    from crossrec_llm.store import Due
    from crossrec_llm.upgrading import Upgrade, upgrade

__all__ = [
    "Absence",
    "Audience",
    "AudienceMember",
    "BuildReport",
    "Cleared",
    "Comparison",
    "Contribution",
    "Copied",
    "Correction",
    "Counterfactual",
    "CrossrecError",
    "Due",
    "ErasureReceipt",
    "Filter",
    "Item",
    "KeptGeneration",
    "LiveReport",
    "Problem",
    "Profile",
    "Reason",
    "Recipe",
    "Recommendation",
    "Recommendations",
    "Recommender",
    "Rehearsal",
    "Repaired",
    "Replay",
    "Upgrade",
    "Verification",
    "add_events",
    "add_items",
    "backup",
    "build",
    "compare",
    "counterfactual",
    "due",
    "erase_items",
    "forget_user",
    "gc",
    "generations",
    "pin",
    "publish",
    "read_answer",
    "rehearse",
    "remove_items",
    "repair",
    "replay",
    "restore",
    "rollback",
    "strike",
    "strike_interest",
    "undo",
    "upgrade",
    "verify",
    "why_not",
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
    "why_not": "comparing",
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
    "Copied": "safekeeping",
    "Problem": "safekeeping",
    "Repaired": "safekeeping",
    "Verification": "safekeeping",
    "backup": "safekeeping",
    "repair": "safekeeping",
    "restore": "safekeeping",
    "verify": "safekeeping",
    "Cleared": "publishing",
    "KeptGeneration": "publishing",
    "due": "publishing",
    "gc": "publishing",
    "generations": "publishing",
    "publish": "publishing",
    "rollback": "publishing",
    "Rehearsal": "rehearsing",
    "rehearse": "rehearsing",
    "Due": "store",
    "Upgrade": "upgrading",
    "upgrade": "upgrading",
}


def __getattr__(name: str) -> Any:
    """Public names are imported when first used, so that importing the package costs nothing."""
    from importlib import import_module

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'records')}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
