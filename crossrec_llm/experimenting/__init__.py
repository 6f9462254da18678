"""Experiments: what people were shown, what came of it, and which settings did better."""

from __future__ import annotations

from crossrec_llm.experimenting.arms import Arm, Experiment, begin_experiment, end_experiment
from crossrec_llm.experimenting.offpolicy import Judged
from crossrec_llm.experimenting.recording import Recorder, Shown
from crossrec_llm.experimenting.report import ExperimentReport, judge_recipe, report_experiment

__all__ = [
    "Arm",
    "Experiment",
    "ExperimentReport",
    "Judged",
    "Recorder",
    "Shown",
    "begin_experiment",
    "end_experiment",
    "judge_recipe",
    "report_experiment",
]
