"""What was fitted about blends, with the figures that speak for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from crossrec_llm.answering.blend import Situation
from crossrec_llm.answering.bridges import Bridges


@dataclass(frozen=True)
class Tuned:
    """One situation as fitted.

    situation : the weights, and the signals that propose.
    trees : the text of a LightGBM model for the head of the list; empty where it did not help.
    head : how many rows the trees order.
    figures : how it did on people that it was not fitted on, and what it was compared with.
    """

    situation: Situation
    trees: str = ""
    head: int = 100
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TunedBlend:
    """Every situation that was fitted, by name; those that did not help are left out.

    left_out : situation -> why it keeps its defaults.
    bridges : into which categories a history may lead.
    refused : signal on trial that did not help or could not be fitted -> why.
    """

    situations: Mapping[str, Tuned] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    bridges: Bridges = field(default_factory=Bridges)
    refused: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """In the order of the weights, which is that of the trees' features."""
        return json.dumps(asdict(self), indent=1)

    def save(self, path: Path) -> None:
        path.write_text(self.to_json(), "utf-8")

    @classmethod
    def load(cls, path: Path) -> TunedBlend:
        """What `save` wrote.

        Raises
        ------
        OSError, ValueError, KeyError, TypeError : it cannot be read, or is something else.
        """
        document = json.loads(path.read_text("utf-8"))
        situations = {}
        for name, entry in document["situations"].items():
            stored = entry.pop("situation")
            situation = Situation(stored["weights"], tuple(stored["sources"]), stored["cold"])
            situations[name] = Tuned(situation, **entry)
        # An index of before there were bridges has none: everything is open.
        bridges = Bridges.from_dict(document["bridges"]) if "bridges" in document else Bridges()
        return cls(situations, document["left_out"], bridges, document.get("refused", {}))

    def summary(self) -> dict[str, Any]:
        """For people and reports: the weights and figures of each situation, without trees."""
        fitted = {
            name: {
                "weights": dict(tuned.situation.weights),
                "cold": dict(tuned.situation.cold),
                "sources": list(tuned.situation.sources),
                "trees": bool(tuned.trees),
                "figures": dict(tuned.figures),
            }
            for name, tuned in self.situations.items()
        }
        return fitted | {name: {"left_out": why} for name, why in self.left_out.items()}
