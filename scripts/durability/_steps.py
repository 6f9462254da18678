"""What is done to a tiny index while it is killed or its disk fails, and what must hold then."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from crossrec_llm import Recommender
from crossrec_llm.store import Index, content_digest
from durability import _driver, _old, _shop
from durability._driver import Fault, Mode, Outcome, Say


@dataclass(frozen=True)
class State:
    """What an index holds and what it answers, each as a hash."""

    truth: str
    answers: str

    @classmethod
    def of(cls, index: Path) -> State:
        with Index.open(index) as opened:
            ledger = opened.ledger
            items, events = ledger.items(), ledger.events()
            users = sorted(events["user_id"].unique().to_pylist())
            said = [str((c.sentence, c.items)) for u in users for c in ledger.corrections_of(u)]
        whole = content_digest(items.sort_by("item_id"), _sorted(events))
        return cls(_hash(json.dumps([whole, said])), _hash(_shop.answers(index)))


@dataclass(frozen=True)
class Step:
    """Commands in order; each is acknowledged when it ends with 0.

    before : commands that are run first, undisturbed, on a copy of the index that all begin with.
    harm : then this is done to its folder.
    """

    name: str
    commands: Sequence[Sequence[str]]
    before: Sequence[Sequence[str]] = ()
    harm: Callable[[Path], None] | None = None

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
    """A folder with the input files and a built index, of which every trial gets a copy.

    Of an index that is given, a copy is what all begin with; then only live changes are tried on
    it, with the encoder that it was built with.
    """

    def __init__(self, folder: Path, index: Path | None = None) -> None:
        self.folder, self.given = folder, index
        self._trial = folder / "trial"
        self.place = self._trial / "index"
        """Where the copy of a trial is; what is written beside it is below `trial` too."""
        _driver.rehearse(self._make)
        ids, users = json.loads((folder / "names.json").read_text())
        self.steps = _live_steps(folder, ids, users)
        if index is None:
            self.steps += _generation_steps(folder)
        self._bases = {step.name: self._base(step) for step in self.steps}
        self.references = {step.name: self._reference(step) for step in self.steps}

    def copy(self, step: Step) -> Path:
        """The index as it is before a step."""
        shutil.rmtree(self._trial, ignore_errors=True)
        return shutil.copytree(self._bases[step.name], self.place)

    def fault(self, mode: Mode = "count", nth: int = 0) -> Fault:
        """At a call on the index or beside it."""
        return Fault(self._trial, mode, nth)

    def _make(self, _: Say) -> None:
        base, given = self.folder / "base", self.given
        (self.folder / "recipe.toml").write_text(_shop.RECIPE_TOML)
        write = partial(_write, self.folder)
        for edition in "abc":
            write(f"items-{edition}", _shop.items(edition=edition))
        write("events", _shop.events())
        if given is not None:
            shutil.copytree(given, base)
            _driver.command("upgrade", "--index", base)
        else:
            from crossrec_llm import build

            for edition in "ab":
                items = _file(self.folder, f"items-{edition}")
                build(items, _file(self.folder, "events"), base, recipe=_shop.RECIPE)
        with Index.open(base) as opened:
            ids = opened.ledger.items()["item_id"].slice(0, _shop.N_ITEMS).to_pylist()
            users = opened.ledger.events()["user_id"].unique().slice(0, _shop.N_USERS).to_pylist()
        (self.folder / "names.json").write_text(json.dumps([ids, users]))
        for n in range(4):
            more = _shop.events(5 + n, seed=1 + n).to_pylist()
            for row, event in enumerate(more):
                event["user_id"] = users[int(event["user_id"][1:])]
                event["item_id"] = ids[int(event["item_id"][1:])]
                event["event_id"] = f"{n}-{row}"
            write(f"new-events-{n}", pa.Table.from_pylist(more))
        for n in range(3):
            changed = _shop.items(_shop.N_ITEMS + 2 * n + 2, edition=f"new {n}").to_pylist()
            for item in changed[: _shop.N_ITEMS]:
                item["item_id"] = ids[int(item["item_id"][1:])]
            write(f"new-items-{n}", pa.Table.from_pylist(changed[35 + 2 * n :]))
        _write_merging(self.folder)
        _driver.command("info", "--index", base)
        State.of(base)

    def _base(self, step: Step) -> Path:
        base = self.folder / "base"
        if not step.before and not step.harm:
            return base
        own = shutil.copytree(base, self.folder / f"before-{step.name}")
        first = _driver.run(Step(step.name, step.before).body(own))
        if first.code:
            raise RuntimeError(f"what comes before {step.name} fails: {first.error}")
        if step.harm:
            step.harm(own)
        return own

    def _reference(self, step: Step) -> Reference:
        index = self.copy(step)
        states, calls, seconds = [self._state(index)[0]], 0, 0.0
        for words in step.commands:
            started = time.perf_counter()
            done = _driver.run(Step(step.name, [words]).body(index), self.fault())
            seconds += time.perf_counter() - started
            if done.code:
                raise RuntimeError(f"{step.name} fails undisturbed: {done.error}")
            calls += done.calls
            states.append(self._state(index)[0])
        return Reference(tuple(states), calls, seconds)

    @staticmethod
    def _state(index: Path) -> tuple[State, float]:
        """And the seconds until a process that opens the index has its first answer."""
        started = time.perf_counter()

        def ask(say: Say) -> None:
            with Recommender.open(index) as rec:
                rec.for_user(rec.generation.users.ids[0], k=8)
            say(str(time.perf_counter() - started))
            say(json.dumps(vars(State.of(index))))

        asked = _driver.run(ask)
        if asked.code:
            raise RuntimeError(asked.error)
        seconds, state = asked.said
        return State(**json.loads(state)), float(seconds)

    def problems(self, step: Step, index: Path, outcome: Outcome) -> tuple[list[str], float]:
        """What does not hold after a disturbed run, and the seconds until the first answer.

        With k commands acknowledged, what is held and what is answered must each be as after k or
        k + 1 of them; and the remaining commands, undisturbed, must end as if nothing had been.
        """
        states, k = self.references[step.name].states, len(outcome.said)
        allowed = states[k : k + 2]
        try:
            now, seconds = self._state(index)
        except RuntimeError as error:
            return [f"it does not open: {_last_line(str(error))}"], 0.0
        found = []
        if now.truth not in {state.truth for state in allowed}:
            found.append("what was acknowledged is not what is held")
        if now.answers not in {state.answers for state in allowed}:
            found.append("it answers neither as before nor as after")
        done = k + (now == allowed[-1] and now != allowed[0])
        again = _driver.run(step.body(index, after=done))
        if again.code:
            found.append(f"the next run ends with {again.code}: {_last_line(again.error)}")
        elif self._state(index)[0] != states[-1]:
            found.append("the next run does not end as an undisturbed one")
        return found, seconds


def _live_steps(folder: Path, ids: Sequence[str], users: Sequence[str]) -> tuple[Step, ...]:
    """Changes of the records, which no generation is made for."""
    file = partial(_file, folder)
    return (
        Step("append", [("add-events", file(f"new-events-{n}")) for n in range(4)]),
        Step("change", [("add-items", file(f"new-items-{n}")) for n in range(3)]),
        Step("remove", [("remove-items", ids[n], ids[n + 1]) for n in (0, 7, 20)]),
        Step("correct", [("profile", users[1], "--pin", f"blue {w}") for w in ("tea", "lamp")]),
    )


def _generation_steps(folder: Path) -> tuple[Step, ...]:
    """What makes generations, has others answer, and takes from all of them."""
    file = partial(_file, folder)
    recipe = ("--recipe", str(folder / "recipe.toml"))
    files = ("--items", file("items-c"), "--interactions", file("events"))
    merged = ("--items", file("items-merged"), "--interactions", file("events-merged"))
    live = (
        ("add-items", file("new-items-0")),
        ("add-events", file("new-events-0")),
        ("remove-items", "i5", "i9"),
    )
    rehearsal = ("rehearse", *files, *recipe, "--users", "3")
    kept = str(folder / "kept")
    return (
        Step("build", [("build", *files, *recipe)]),
        Step("merge", [("build", *merged, *recipe)], before=live),
        Step("fold", [("add-events", file("new-events-0")), ("build",)]),
        Step("rollback", [("rollback",), ("publish",)], before=live),
        Step("rehearse", [rehearsal], before=live),
        Step("publish", [("publish",)], before=[rehearsal, *live]),
        Step("tune", [("tune", "--people", "12")]),
        Step("gc", [("gc", "--keep", "1")]),
        Step("forget", [("forget-user", "u2", "u3")], before=live),
        Step("erase", [("remove-items", "i5", "--erase")], before=live),
        Step("restore", [("restore", kept, "--force")], before=[("backup", kept), *live]),
        Step("repair", [("repair",)], before=live, harm=_harm("signals/als.safetensors")),
        Step("refill", [("repair",)], before=live, harm=_harm("chroma/items/*/data_level0.bin")),
        Step("upgrade", [("upgrade",), ("build",)], harm=_old.make_old),
    )


def _harm(pattern: str) -> Callable[[Path], None]:
    """Another last byte of one file of the active generation."""

    def harm(index: Path) -> None:
        with Index.open(index) as opened:
            (file,) = opened.generation.folder.glob(pattern)
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

    return harm


def _write_merging(folder: Path) -> None:
    """Files over the live part: they tell of some of it, and two items are in them no more."""
    items, events = _shop.items(edition="c"), _shop.events().to_pylist()
    told = pq.read_table(_file(folder, "new-items-0")).slice(3)
    items = pa.concat_tables([items.slice(0, 35), items.slice(37, 1), told]).to_pylist()
    gone = {"i5", "i12"}
    _write(
        folder, "items-merged", pa.Table.from_pylist([i for i in items if i["item_id"] not in gone])
    )
    there = {item["item_id"] for item in items} - gone
    more = pq.read_table(_file(folder, "new-events-0")).drop_columns("event_id").to_pylist()
    rows = [event for event in (*events, *more[:9]) if event["item_id"] in there]
    _write(folder, "events-merged", pa.Table.from_pylist(rows))


def _file(folder: Path, name: str) -> str:
    return str(folder / f"{name}.parquet")


def _write(folder: Path, name: str, table: pa.Table) -> None:
    pq.write_table(table, _file(folder, name))


def _sorted(table: pa.Table) -> pa.Table:
    return table.sort_by([(name, "ascending") for name in table.column_names])


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1][:300]
