"""A new generation beside the one that answers, and what would change if it were published."""

from crossrec_llm.rehearsing.lists import BridgeShare, ItemMove, UserMove
from crossrec_llm.rehearsing.rehearsal import Measured, Rehearsal, rehearse

__all__ = ["BridgeShare", "ItemMove", "Measured", "Rehearsal", "UserMove", "rehearse"]
