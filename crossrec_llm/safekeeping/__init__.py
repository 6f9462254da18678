"""Is an index whole, make it whole, keep a copy of it."""

from __future__ import annotations

from crossrec_llm.safekeeping.copying import Copied, LastBackup, backup, last_backup, restore
from crossrec_llm.safekeeping.repairing import Repaired, repair
from crossrec_llm.safekeeping.verifying import Problem, Verification, verify

__all__ = [
    "Copied",
    "LastBackup",
    "Problem",
    "Repaired",
    "Verification",
    "backup",
    "last_backup",
    "repair",
    "restore",
    "verify",
]
