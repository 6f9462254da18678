"""What is learned about answering, on items that were hidden from everything else."""

from crossrec_llm.training.blending import (
    ON_TRIAL,
    THOROUGH,
    TuneOptions,
    asked_enough,
    fit,
    fit_blend,
    not_needed,
    taken_over,
)
from crossrec_llm.training.bridges import Lister, fit_bridges
from crossrec_llm.training.examples import Examples
from crossrec_llm.training.holdout import HeldOut, HideBy, Holdout, hold_out
from crossrec_llm.training.jumps import calibration
from crossrec_llm.training.trees import fit_trees
from crossrec_llm.training.weights import fit_cold, fit_weights

__all__ = [
    "ON_TRIAL",
    "THOROUGH",
    "Examples",
    "HeldOut",
    "HideBy",
    "Holdout",
    "Lister",
    "TuneOptions",
    "asked_enough",
    "calibration",
    "fit",
    "fit_blend",
    "fit_bridges",
    "fit_cold",
    "fit_trees",
    "fit_weights",
    "hold_out",
    "not_needed",
    "taken_over",
]
