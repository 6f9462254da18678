"""What an open index is at one moment, and how one moment gives way to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock, RLock
from typing import TypeVar

from crossrec_llm.answers import Answers
from crossrec_llm.encoding import Reader
from crossrec_llm.errors import StoreError
from crossrec_llm.generation import Generation
from crossrec_llm.growing import Growth
from crossrec_llm.people import People
from crossrec_llm.recipe import Recipe
from crossrec_llm.recording import step
from crossrec_llm.store import Index, Ledger
from crossrec_llm.store.index import LEDGER, MANIFEST

T = TypeVar("T")
_Stamp = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Moment:
    """All that one question is answered from; nothing of it changes any more."""

    generation: Generation
    answers: Answers
    people: People
    reader: Reader

    @classmethod
    def of(cls, generation: Generation, ledger: Ledger | None, reader: Reader) -> Moment:
        answers = Answers(generation)
        profiles = answers.planned("users", generation.users.vectors)
        return cls(generation, answers, People(generation, ledger, profiles), reader)


@dataclass(eq=False)
class _Opened:
    """One generation as it was opened, and the newest moment of it.

    asking : questions that are being answered from it.
    over : whether another one took its place, so that its last question closes it.
    """

    moment: Moment
    ledger: Ledger | None
    growth: Growth | None = None
    asking: int = 0
    over: bool = False
    _counting: Lock = field(default_factory=Lock)

    @classmethod
    def of(cls, index: Index, before: Reader | None = None) -> _Opened:
        """With what came since it was built; the index is closed where that fails."""
        try:
            generation = Generation.load(index.generation)
            reader = Reader(generation, before)
            growth = Growth(generation, reader)
            if index.ledger.change != generation.live.change:
                generation = growth.take_in(index.ledger)
            return cls(Moment.of(generation, index.ledger, reader), index.ledger, growth)
        except BaseException:
            index.close()
            raise

    @property
    def behind(self) -> bool:
        """Whether the ledger has something new; not once it is closed."""
        if self.ledger is None or not self.enter():
            return False
        try:
            return self.ledger.change != self.moment.generation.live.change
        finally:
            self._leave()

    @property
    def waits(self) -> bool:
        """Whether a step takes in more all the same."""
        return self.growth is not None and self.growth.waiting

    def step(self) -> None:
        """Take in what is new in the ledger."""
        assert self.growth is not None
        assert self.ledger is not None
        generation = self.growth.take_in(self.ledger)
        self.moment = Moment.of(generation, self.ledger, self.moment.reader)

    @contextmanager
    def asked(self) -> Iterator[Moment]:
        try:
            yield self.moment
        finally:
            self._leave()

    def enter(self) -> bool:
        """Whether a question may begin: not once the last one has closed it."""
        with self._counting:
            if self.over and not self.asking:
                return False
            self.asking += 1
            return True

    def _leave(self) -> None:
        with self._counting:
            self.asking -= 1
            last = self.over and not self.asking
        if last:
            self.close()

    def retire(self) -> None:
        """Close it when its last question is done."""
        with self._counting:
            self.over = True
            last = not self.asking
        if last:
            self.close()

    def close(self) -> None:
        self.moment.generation.close()
        if self.ledger is not None:
            self.ledger.close()


class Moments:
    """The moments of an index, for many threads: each question gets the newest, and keeps it.

    Before each question it looks whether the manifest is another file, and whether the ledger has
    another change number; then it opens the active generation, or takes in what is new. Questions
    that find something new wait for that, since it was acknowledged before they were asked; those
    that find texts waiting to be encoded, while another one does so, do not.
    """

    def __init__(self, opened: _Opened, path: Path | None = None, stamp: _Stamp = ()) -> None:
        self._opened, self._path, self._stamp = opened, path, stamp
        self._moving = RLock()

    @classmethod
    def still(cls, generation: Generation, ledger: Ledger | None) -> Moments:
        """The one moment of a generation in memory."""
        moment = Moment.of(generation, ledger, Reader(generation))
        return cls(_Opened(moment, ledger))

    @classmethod
    def follow(cls, path: Path) -> Moments:
        """Of an index on disk, from its active generation on.

        Raises
        ------
        IndexMissing, IndexMismatch, IndexDamaged : what is wrong with it and what to run.
        """
        while True:
            stamp = stamp_of(path)
            try:
                return cls(_Opened.of(Index.open(path)), path, stamp)
            except (StoreError, OSError):
                if stamp_of(path) == stamp:
                    raise  # else it was replaced meanwhile, and what was opened removed

    @property
    def newest(self) -> Moment:
        """As of now; what it holds may be closed by the next one."""
        return self._moved().moment

    def ask(self, question: Callable[[Moment], T]) -> T:
        """What a question gives at the newest moment.

        A generation that was removed while it was asked is asked again as it is now.
        """
        while True:
            with step("following"):
                opened = self._moved()
            if not opened.enter():
                continue
            try:
                with opened.asked() as moment:
                    return question(moment)
            except (StoreError, OSError):
                if self._moved() is opened:
                    raise

    def close(self) -> None:
        self._opened.close()

    def _moved(self) -> _Opened:
        """What is open, after a look at what is new."""
        if self._path is None:
            return self._opened
        if stamp_of(self._path, self._stamp) != self._stamp:
            with self._moving:
                self._reopen(self._path)
        opened = self._opened
        if opened.behind:
            with self._moving:
                if opened is self._opened and opened.behind:
                    opened.step()
        elif opened.waits and self._moving.acquire(blocking=False):
            try:
                opened.step()
            finally:
                self._moving.release()
        return self._opened

    def _reopen(self, path: Path) -> None:
        while (stamp := stamp_of(path, self._stamp)) != self._stamp:
            before = self._opened
            try:
                index = Index.open(path)
                if index.generation == before.moment.generation.stored and (
                    stamp[-1] == self._stamp[-1]
                ):
                    index.close()
                else:
                    self._opened = _Opened.of(index, before.moment.reader)
                    before.retire()
            except (StoreError, OSError):
                if stamp_of(path, self._stamp) == stamp:
                    raise
                continue  # it was replaced once more, and this one removed
            self._stamp = stamp


class Overlaid:
    """The moments of an index that answers by another recipe; the index stays who opened it's.

    Parameters
    ----------
    change : the recipe of a moment -> the one to answer by, which needs no other parts.
    """

    def __init__(self, base: Moments | Overlaid, change: Callable[[Recipe], Recipe]) -> None:
        self._base, self._change = base, change
        self._made: tuple[Moment, Moment] | None = None
        self._making = Lock()

    @property
    def newest(self) -> Moment:
        return self._over(self._base.newest)

    def ask(self, question: Callable[[Moment], T]) -> T:
        """As `Moments.ask`."""
        return self._base.ask(lambda now: question(self._over(now)))

    def close(self) -> None:
        """Nothing of it is open."""

    def _over(self, now: Moment) -> Moment:
        with self._making:
            if self._made is None or self._made[0] is not now:
                generation = now.generation.overlaid(self._change(now.generation.recipe))
                answers, people = Answers(generation), now.people.over(generation)
                self._made = now, Moment(generation, answers, people, now.reader)
            return self._made[1]


def stamp_of(path: Path, otherwise: _Stamp = ()) -> _Stamp:
    """Which manifest and ledger there are: each that is written anew is another file.

    What it was before where they cannot be seen: what is open goes on answering.
    """
    try:
        manifest, ledger = (path / MANIFEST).stat(), (path / LEDGER).stat()
    except OSError:
        return otherwise
    return manifest.st_ino, manifest.st_mtime_ns, manifest.st_size, ledger.st_ino
