"""What scripts/bench and scripts/faults share: bars, and on which machine a figure was taken."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Bar:
    """A figure and what it must reach: at most `bar` where `most`, else at least."""

    value: float
    bar: float
    most: bool = False

    @property
    def met(self) -> bool:
        return self.value <= self.bar if self.most else self.value >= self.bar

    def words(self, name: str) -> str:
        sign = "at most" if self.most else "at least"
        met = "met" if self.met else "MISSED"
        return f"{met:<7}{name}: {self.value:.4g} ({sign} {self.bar:g})"

    def to_dict(self) -> dict[str, Any]:
        return {"value": self.value, "bar": self.bar, "met": self.met}


def machine() -> dict[str, Any]:
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
