"""What is done to a tiny index while it is killed or its disk fails, and what must hold then."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import typer

from crossrec_llm.cli.main import app
from crossrec_llm.store import Index
from durability import _driver, _shop
from durability._driver import Fault, Outcome, Say


@dataclass(frozen=True)
class State:
    """What an index holds and what it answers, each as a hash."""

    truth: str
    answers: str

    @classmethod
    def of(cls, index: Path) -> State:
        with Index.open(index) as opened:
            ledger = opened.ledger
            events = sorted(map(str, ledger.events().to_pylist()))
            items = sorted(map(str, ledger.items().to_pylist()))
            users = sorted({event["user_id"] for event in ledger.events().to_pylist()})
            said = [str((c.sentence, c.items)) for u in users for c in ledger.corrections_of(u)]
        return cls(_hash(json.dumps([items, events, said])), _hash(_shop.answers(index)))


@dataclass(frozen=True)
class Step:
    """Commands in order; each is acknowledged when it ends with 0."""

    name: str
    commands: Sequence[Sequence[str]]

    def body(self, index: Path, *, after: int = 0) -> Callable[[Say], None]:
        """Runs the commands from the `after`-th on."""

        def run(say: Say) -> None:
            for words in self.commands[after:]:
                _driver.command(*words, "--index", index, "--quiet")
                say("done")

        return run


@dataclass(frozen=True)
class Reference:
    """An undisturbed run: the state at first and after each command, and what there is to hit."""

    states: tuple[State, ...]
    calls: int
    seconds: float


class Bench:
    """A folder with the input files and a built index, of which every trial gets a copy."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.base = folder, folder / "base"
        self._trial = folder / "trial"
        _driver.rehearse(self._make)
        self.steps = self._steps()
        self.references = {step.name: self._reference(step) for step in self.steps}

    def copy(self) -> Path:
        shutil.rmtree(self._trial, ignore_errors=True)
        return shutil.copytree(self.base, self._trial)

    def file(self, name: str) -> str:
        return str(self.folder / f"{name}.parquet")

    def _make(self, _: Say) -> None:
        recipe = _shop.RECIPE
        (self.folder / "recipe.toml").write_text(_shop.RECIPE_TOML)
        for edition in "abc":
            pq.write_table(_shop.items(edition=edition), self.file(f"items-{edition}"))
        pq.write_table(_shop.events(), self.file("events"))
        for n in range(4):
            more = _shop.events(5 + n, seed=1 + n)
            ids = pa.array([f"{n}-{row}" for row in range(len(more))])
            pq.write_table(more.append_column("event_id", ids), self.file(f"new-events-{n}"))
        for n in range(3):
            changed = _shop.items(_shop.N_ITEMS + 2 * n + 2, edition=f"new {n}").slice(35 + 2 * n)
            pq.write_table(changed, self.file(f"new-items-{n}"))
        from crossrec_llm import build

        for edition in "ab":
            build(self.file(f"items-{edition}"), self.file("events"), self.base, recipe=recipe)
        _driver.command("info", "--index", self.base)
        State.of(self.base)

    def _steps(self) -> tuple[Step, ...]:
        files = ("--items", self.file("items-c"), "--interactions", self.file("events"))
        recipe = ("--recipe", str(self.folder / "recipe.toml"))
        steps = (
            Step("build", [("build", *files, *recipe)]),
            Step("append", [("add-events", self.file(f"new-events-{n}")) for n in range(4)]),
            Step("change", [("add-items", self.file(f"new-items-{n}")) for n in range(3)]),
            Step("remove", [("remove-items", f"i{n}", f"i{n + 1}") for n in (0, 7, 20)]),
            Step("fold", [("add-events", self.file("new-events-0")), ("build",)]),
            Step("correct", [("profile", "u1", "--pin", f"blue {w}") for w in ("tea", "lamp")]),
            Step("rollback", [("rollback",)]),
            Step("gc", [("gc", "--keep", "1")]),
            Step("forget", [("forget-user", "u2", "u3")]),
            Step("erase", [("remove-items", "i5", "--erase")]),
        )
        left = [step for step in steps if not all(map(_there, step.commands))]
        for step in left:
            print(f"left out, there is no such command: {step.name}", file=sys.stderr)
        return tuple(step for step in steps if step not in left)

    def _reference(self, step: Step) -> Reference:
        index = self.copy()
        started = time.perf_counter()
        whole = _driver.run(step.body(index), Fault(index))
        seconds = time.perf_counter() - started
        if whole.code:
            raise RuntimeError(f"{step.name} fails undisturbed: {whole.error}")
        index, states = self.copy(), [self._state(self.base)]
        for number in range(len(step.commands)):
            only = Step(step.name, [step.commands[number]])
            _driver.run(only.body(index))
            states.append(self._state(index))
        return Reference(tuple(states), whole.calls, seconds)

    @staticmethod
    def _state(index: Path) -> State:
        asked = _driver.run(lambda say: say(json.dumps(vars(State.of(index)))))
        if asked.code:
            raise RuntimeError(asked.error)
        return State(**json.loads(asked.said[-1]))

    def problems(self, step: Step, index: Path, outcome: Outcome) -> tuple[list[str], float]:
        """What does not hold after a disturbed run, and the seconds until the first answers.

        With k commands acknowledged, what is held and what is answered must each be as after k or
        k + 1 of them; and the remaining commands, undisturbed, must end as if nothing had been.
        """
        states, k = self.references[step.name].states, len(outcome.said)
        allowed = states[k : k + 2]
        started = time.perf_counter()
        try:
            now = self._state(index)
        except RuntimeError as error:
            return [f"it does not open: {_last_line(str(error))}"], 0.0
        seconds = time.perf_counter() - started
        found = []
        if now.truth not in {state.truth for state in allowed}:
            found.append("what was acknowledged is not what is held")
        if now.answers not in {state.answers for state in allowed}:
            found.append("it answers neither as before nor as after")
        done = k + (now == allowed[-1] and now != allowed[0])
        again = _driver.run(step.body(index, after=done))
        if again.code:
            found.append(f"the next run ends with {again.code}: {_last_line(again.error)}")
        elif self._state(index) != states[-1]:
            found.append("the next run does not end as an undisturbed one")
        return found, seconds


def _there(words: Sequence[str]) -> bool:
    """Whether the command line has this command, with these options and no others needed."""
    verb = typer.main.get_command(app).commands.get(words[0])  # type: ignore[attr-defined]
    if verb is None:
        return False
    options = [option for option in verb.params if option.param_type_name == "option"]
    named = {name for option in options for name in option.opts}
    needed = {option.opts[0] for option in options if option.required}
    return needed <= set(words) and {word for word in words if word.startswith("--")} <= named


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1][:300]
