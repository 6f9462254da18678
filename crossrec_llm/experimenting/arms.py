"""What an experiment is: arms that differ in how they answer, and who is in which."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

from annotated_types import Gt, Le

from crossrec_llm.answering import luck
from crossrec_llm.errors import RecipeError, UnknownExperiment
from crossrec_llm.kept import recipe_of
from crossrec_llm.records import STRICT
from crossrec_llm.resources import default_index, read_toml
from crossrec_llm.store import Index, Ledger, Stated
from crossrec_llm.tables import near_matches

_LEAST_ARMS = 2


@dataclass(frozen=True)
class Arm:
    """One way to answer.

    name : of the arm; the first of an experiment is what the others are compared with.
    share : of all people, that are answered like this.
    recipe : tables of a recipe, laid over those of the index, as `Recommender.asked_by` takes them.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    name: str
    share: Annotated[float, Gt(0), Le(1)]
    recipe: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """Arms, and who is in which.

    arms : two or more; who is in none, where their shares leave people, is answered by the index's
        own recipe.
    salt : makes another split of the people; by default the name of the experiment.
    outcome : the kind of outcome that counts, unless a report asks for another one.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    arms: tuple[Arm, ...]
    salt: str = ""
    outcome: str = "click"

    def __post_init__(self) -> None:
        names = [arm.name for arm in self.arms]
        if len(names) < _LEAST_ARMS:
            raise ValueError("an experiment compares two arms or more")
        if len(set(names)) < len(names) or not all(names):
            raise ValueError(f"every arm needs a name of its own, not {', '.join(names)}")
        if (total := sum(arm.share for arm in self.arms)) > 1 + 1e-9:
            raise ValueError(f"the shares of the arms sum to {total:g}, which is more than 1")

    @classmethod
    def load(cls, path: str | Path) -> Experiment:
        """From a TOML file.

        Raises
        ------
        RecipeError : it cannot be read, with every setting that is wrong.
        """
        _, raw = read_toml(Path(path))
        return cls.from_dict(raw, source=str(path))

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], *, source: str = "experiment") -> Experiment:
        """From nested dicts. Raises as `load`."""
        from pydantic import TypeAdapter, ValidationError

        try:
            read: Experiment = TypeAdapter(cls).validate_python(raw)
        except ValidationError as error:
            problems = [
                ": ".join(filter(None, (".".join(map(str, one["loc"])), one["msg"])))
                for one in error.errors()
            ]
            raise RecipeError(source, problems) from error
        return read

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def arm_of(self, user_id: str) -> Arm | None:
        """Which arm a person is in, in every process and for as long as it runs; None = in none.

        The hash of salt and id, in [0, 1), falls into the share of one of the arms.
        """
        at, upto = luck(self.salt, user_id), 0.0
        for arm in self.arms:
            upto += arm.share
            if at < upto:
                return arm
        return None


def begin_experiment(
    index: str | Path | None, name: str, experiment: Experiment | str | Path
) -> Stated:
    """Write an experiment into the records of an index; it runs from now on, as it is.

    Every process that serves the index splits people by it from its next recorded answer.

    Parameters
    ----------
    experiment : or the TOML file that says what it is.

    Raises
    ------
    RecipeError : it is wrong, or an arm's settings are, or cannot be had without fitting anew.
    QueryError : there was one of that name, or another one runs.
    IndexMissing, IndexLocked, StoreUnavailable : the records cannot be written.
    """
    if not isinstance(experiment, Experiment):
        experiment = Experiment.load(experiment)
    if not experiment.salt:
        experiment = dataclasses.replace(experiment, salt=name)
    with Index.open(_place(index)) as opened:
        recipe = recipe_of(opened.generation)
        for arm in experiment.arms:
            recipe.overlaid(arm.recipe, source=f"arm {arm.name!r}")
        with Ledger.open(opened.ledger.path, write=True) as ledger:
            return ledger.exposures.begin(name, experiment.to_dict())


def end_experiment(index: str | Path | None, name: str) -> Stated:
    """End an experiment: from now on its people are answered by the index's own recipe.

    Raises
    ------
    UnknownExperiment : there is none of that name. Others as `begin_experiment`.
    """
    with Index.open(_place(index)) as opened:
        find(opened.ledger, name)
        with Ledger.open(opened.ledger.path, write=True) as ledger:
            ledger.exposures.end(name)
            return find(ledger, name)


def find(ledger: Ledger, name: str) -> Stated:
    """One of the records.

    Raises
    ------
    UnknownExperiment : there is none of that name; similar names are told.
    """
    there = {one.name: one for one in ledger.exposures.experiments()}
    if name not in there:
        raise UnknownExperiment(name, near_matches(name, list(there)))
    return there[name]


def _place(index: str | Path | None) -> Path:
    return Path(index) if index is not None else default_index()
