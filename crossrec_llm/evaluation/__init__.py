"""How good the lists are, measured on people whose last items were hidden."""

from crossrec_llm.evaluation.measures import MEASURES, Interval, bootstrap, measure
from crossrec_llm.evaluation.protocols import PROTOCOLS, Case, Split, split
from crossrec_llm.evaluation.record import Evaluation
from crossrec_llm.evaluation.runner import evaluate

__all__ = [
    "MEASURES",
    "PROTOCOLS",
    "Case",
    "Evaluation",
    "Interval",
    "Split",
    "bootstrap",
    "evaluate",
    "measure",
    "split",
]
