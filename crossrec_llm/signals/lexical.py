"""Words: how well an item's own words match a typed text."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import pyarrow as pa
from annotated_types import Ge, Gt, Le

from crossrec_llm.errors import IndexDamaged
from crossrec_llm.records import STRICT, Query
from crossrec_llm.signals.base import LastQuery, best, read_arrays, write_arrays
from crossrec_llm.signals.words import CHUNK, IS_SOLID, chunks, fold, singular, terms
from crossrec_llm.tables import Catalogue

_MOST_GUESSES = 8  # words of one text that are looked for among near ones
_NEAR_WORDS = 3


@dataclass(frozen=True)
class LexicalOptions:
    """How words are matched.

    k1 : how much a second and third mention of a word still add.
    b : how much a long text is discounted, 0 (not at all) to 1.
    title, brand, category, description : how many times a word counts that stands there.
    near : what a word counts that is only spelled nearly like one of the catalogue; 0 = nothing.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    k1: Annotated[float, Gt(0)] = 1.2
    b: Annotated[float, Ge(0), Le(1)] = 0.75
    title: Annotated[int, Ge(0)] = 1
    brand: Annotated[int, Ge(0)] = 2
    category: Annotated[int, Ge(0)] = 2
    description: Annotated[int, Ge(0)] = 1
    near: Annotated[float, Ge(0), Le(1)] = 0.8


@dataclass(frozen=True, eq=False)
class Postings:
    """BM25 of every word in every item, word by word.

    Attributes
    ----------
    words : sorted; those of letters only come first, then shorter before longer.
    indptr : (n_words + 1,) int64; the items of word w are rows[indptr[w]:indptr[w + 1]].
    rows : int32, ascending within a word; `values` float32 beside it.
    n_items : of the catalogue.
    """

    words: list[str]
    indptr: np.ndarray
    rows: np.ndarray
    values: np.ndarray
    n_items: int

    @classmethod
    def fit(cls, catalogue: Catalogue, options: LexicalOptions) -> Postings:
        """From the fields of a catalogue; one of weight w counts as if it stood there w times.

        w_ti = idf_t tf / (tf + k1 (1 - b + b length_i / mean length)), Robertson and Zaragoza
        2009, with the idf that stays above 0, as Lucene has it: log(1 + (N - n + 0.5) / (n + 0.5)).
        """
        import bm25s

        place: defaultdict[str, int] = defaultdict()
        place.default_factory = place.__len__
        items = _item_words(catalogue, options, place)
        words = sorted(place, key=_in_order)
        if not words:
            empty = np.empty(0, np.int32)
            return cls([], np.zeros(1, np.int64), empty, empty.astype(np.float32), len(items))
        moved = np.empty(len(words), np.int64)
        moved[[place[word] for word in words]] = np.arange(len(words))
        ids = [moved[item].tolist() for item in items]
        index = bm25s.BM25(k1=options.k1, b=options.b, method="lucene")
        index.index(
            (ids, {word: i for i, word in enumerate(words)}),
            create_empty_token=False,
            show_progress=False,
        )
        parts = index.scores
        indptr = np.asarray(parts["indptr"], np.int64)
        rows = np.asarray(parts["indices"], np.int32)
        return cls(words, indptr, rows, np.asarray(parts["data"], np.float32), len(items))

    def grown(self, catalogue: Catalogue, late: np.ndarray, options: LexicalOptions) -> Postings:
        """With the words of items that are new or changed, in place of those that they had.

        Rarity and mean length stay those of the build: no other item's values change.

        Parameters
        ----------
        late : (m,) int64 rows of the catalogue, sorted.
        """
        place: defaultdict[str, int] = defaultdict(None, self.place)
        place.default_factory = place.__len__
        found = _item_words(Catalogue(catalogue.table.take(pa.array(late))), options, place)
        lengths = [len(item) for item in found]
        mean = self._mean_length(catalogue, late, options) or max(float(np.mean(lengths)), 1.0)
        counted = [np.unique(np.array(item, np.int64), return_counts=True) for item in found]
        word = np.concatenate([np.empty(0, np.int64), *(words for words, _ in counted)])
        times = np.concatenate([np.empty(0, np.int64), *(counts for _, counts in counted)])
        sizes = [len(words) for words, _ in counted]
        long = np.repeat(np.array(lengths, np.float64), sizes)
        own = np.concatenate([np.diff(self.indptr), np.zeros(len(place), np.int64)])[: len(place)]
        having = np.where(own > 0, own, np.bincount(word, minlength=len(place)))
        values = _bm25(times, having[word], long / mean, self.n_items, options)
        # Both are in the order of `words`, so that old entries only move apart.
        words = sorted(place, key=_in_order)
        moved = np.empty(len(words), np.int64)
        moved[[place[word] for word in words]] = np.arange(len(words))
        n = len(catalogue)
        keep = ~np.isin(self.rows, late)
        old = np.repeat(moved[: len(self.words)], np.diff(self.indptr))[keep] * n + self.rows[keep]
        key = moved[word] * n + np.repeat(late, sizes)
        order = np.argsort(key)
        at = np.searchsorted(old, key[order])
        keys = np.insert(old, at, key[order])
        return Postings(
            words,
            np.searchsorted(keys, np.arange(len(words) + 1) * n),
            (keys % n).astype(np.int32),
            np.insert(self.values[keep], at, values[order].astype(np.float32)),
            n,
        )

    def _mean_length(
        self, catalogue: Catalogue, late: np.ndarray, options: LexicalOptions
    ) -> float:
        """Words of an item, on average at the build: read off one value, of any item; else 0."""
        entries = np.flatnonzero(~np.isin(self.rows, late))
        if not len(entries) or not options.b:
            return 0.0
        entry = int(entries[0])
        word = int(np.searchsorted(self.indptr, entry, side="right")) - 1
        one = Catalogue(catalogue.table.slice(int(self.rows[entry]), 1))
        place: defaultdict[str, int] = defaultdict(None, self.place)
        place.default_factory = place.__len__
        (words,) = _item_words(one, options, place)
        times = words.count(word)
        rarity = _rarity(self.items(word), self.n_items)
        share = (times * rarity / float(self.values[entry]) - times) / options.k1
        return options.b * len(words) / (share - 1 + options.b)

    def save(self, path: Path) -> None:
        words = np.frombuffer("\n".join(self.words).encode(), np.uint8)
        n_items = np.array(self.n_items)
        write_arrays(
            path,
            words=words,
            indptr=self.indptr,
            rows=self.rows,
            values=self.values,
            n_items=n_items,
        )

    @classmethod
    def load(cls, path: Path) -> Postings:
        """What `save` wrote.

        Raises
        ------
        IndexDamaged : it cannot be read.
        """
        try:
            arrays = read_arrays(path)
            text = arrays.pop("words").tobytes().decode()
            words = text.split("\n") if text else []
            return cls(words=words, n_items=int(arrays.pop("n_items")), **arrays)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise IndexDamaged(
                f"{path}: cannot be read ({error}); `crossrec build` makes a new one from the "
                "same files"
            ) from error

    @cached_property
    def place(self) -> dict[str, int]:
        """Word -> its number."""
        return {word: i for i, word in enumerate(self.words)}

    @cached_property
    def _lengths(self) -> np.ndarray:
        """(m,) lengths of the words of letters only, ascending."""
        lengths = (len(word) for word in self.words if word.isalpha())
        return np.fromiter(lengths, np.int64)

    def items(self, word: int) -> int:
        """How many items have the word."""
        return int(self.indptr[word + 1] - self.indptr[word])

    def near(self, spellings: set[str]) -> list[tuple[int, float]]:
        """Words nearly spelled like one of these, at most three, the likeliest first.

        One letter more, less, other, or two swapped (optimal string alignment), and two such
        edits from eight letters on; only words at the least distance. With each comes its share:
        its items over those of the first, because what is common was meant more often.
        """
        from rapidfuzz import process
        from rapidfuzz.distance import OSA

        distances: dict[int, int] = {}
        for spelling in spellings:
            edits = 1 if len(spelling) < 8 else 2
            shortest = max(len(spelling) - edits, 3)
            first, last = np.searchsorted(self._lengths, [shortest, len(spelling) + edits + 1])
            for _, distance, at in process.extract(
                spelling,
                self.words[first:last],
                scorer=OSA.distance,
                score_cutoff=edits,
                limit=None,
            ):
                word = int(first) + at
                distances[word] = min(distance, distances.get(word, edits))
        least = min(distances.values(), default=0)
        words = [word for word, distance in distances.items() if distance == least]
        words.sort(key=lambda word: (-self.items(word), word))
        return [(word, self.items(word) / self.items(words[0])) for word in words[:_NEAR_WORDS]]


def _in_order(word: str) -> tuple[bool, int, str]:
    """The order of `Postings.words`."""
    return not word.isalpha(), len(word), word


def _rarity(having: Any, n_items: int) -> Any:
    """The idf of words that so many items have."""
    return np.log(1 + (n_items - having + 0.5) / (having + 0.5))


def _bm25(
    times: np.ndarray, having: np.ndarray, length: np.ndarray, n_items: int, options: LexicalOptions
) -> np.ndarray:
    """As `Postings.fit` has it; `length` is that of the item over the mean."""
    rarity = np.maximum(_rarity(np.minimum(having, n_items), n_items), 0)
    return np.asarray(rarity * times / (times + options.k1 * (1 - options.b + options.b * length)))


def _item_words(
    catalogue: Catalogue, options: LexicalOptions, place: defaultdict[str, int]
) -> list[list[int]]:
    """The numbers of each item's words, as often as they count; `place` gets the new ones."""
    known: dict[str, list[int]] = {}
    items: list[list[int]] = [[] for _ in range(len(catalogue))]
    for name in ("title", "brand", "category", "description"):
        times = getattr(options, name)
        if not times:
            continue
        for item, value in zip(items, catalogue.table[name].to_pylist(), strict=True):
            for chunk in chunks(value if isinstance(value, str) else " ".join(value)):
                words = known.get(chunk)
                if words is None:
                    words = known[chunk] = [place[term] for term in terms(chunk)]
                item.extend(words * times)
    return items


class Lexical:
    """BM25 of an item's words for the free text; a text of which nothing is found scores nobody.

    Parameters
    ----------
    postings : fitted, or what gives them when a text is first asked for.
    """

    name = "lexical"
    kind = "asked"

    def __init__(
        self, postings: Postings | Callable[[], Postings], options: LexicalOptions
    ) -> None:
        self._given, self.options = postings, options
        self._everywhere = LastQuery(self._found)

    @classmethod
    def fit(cls, catalogue: Catalogue, options: LexicalOptions) -> Lexical:
        return cls(Postings.fit(catalogue, options), options)

    def save(self, path: Path) -> None:
        self.postings.save(path)

    @classmethod
    def load(cls, path: Path, options: LexicalOptions) -> Lexical:
        """Reads nothing yet.

        Raises
        ------
        OSError : there is no such file.
        """
        path.stat()
        return cls(partial(Postings.load, path), options)

    def grown(self, catalogue: Catalogue, late: np.ndarray) -> Lexical:
        """With items that are new or changed, as `Postings.grown`; reads nothing yet."""
        return Lexical(lambda: self.postings.grown(catalogue, late, self.options), self.options)

    @cached_property
    def postings(self) -> Postings:
        return self._given if isinstance(self._given, Postings) else self._given()

    def spelled(self, text: str) -> str:
        """The text with each word that no item has replaced by the nearest that some item has.

        A model knows little of a misspelled word: this is what to encode. Words with nothing near
        them stay, and so does every word where `near` is 0.
        """
        place, guesses = self.postings.place, _MOST_GUESSES

        def right(match: re.Match[str]) -> str:
            nonlocal guesses
            word = fold(match[0])
            one = singular(word)
            if one in place or not (word.isalpha() and len(word) > 2 and guesses):
                return match[0]
            if IS_SOLID.search(word):
                return match[0]
            guesses -= 1
            near = self.postings.near({word, one})
            return self.postings.words[near[0][0]] if near else match[0]

        return CHUNK.sub(right, text) if self.options.near else text

    def knows(self, query: Query) -> bool:
        """Whether some item has some word of the text; False without a text."""
        return self._everywhere(query) is not None

    def score(self, query: Query, rows: np.ndarray) -> np.ndarray:
        scores = self._everywhere(query)
        return np.full(len(rows), np.nan, np.float32) if scores is None else scores[rows]

    def carriers(self, query: Query, rows: np.ndarray) -> np.ndarray:
        return np.zeros((len(rows), len(query.history)), np.float32)

    def propose(self, query: Query, n: int, allowed: np.ndarray) -> np.ndarray:
        scores = self._everywhere(query)
        if scores is None:
            return np.empty(0, np.int64)
        rows = np.flatnonzero((scores > 0) & allowed)
        return rows[best(scores[rows], n)]

    def _found(self, query: Query) -> np.ndarray | None:
        """(n_items,) float32 scores of the whole catalogue; None where nothing is found."""
        return None if query.text is None else self._scores(query.text)

    def _scores(self, text: str) -> np.ndarray | None:
        postings = self.postings
        scores = np.zeros(postings.n_items, np.float32)
        found = False
        for words in self._asked(text):
            found = True
            spans = [slice(*postings.indptr[word : word + 2]) for word, _ in words]
            parts = [w * postings.values[s] for s, (_, w) in zip(spans, words, strict=True)]
            if len(parts) == 1:
                scores[postings.rows[spans[0]]] += parts[0]
                continue
            # Of words that stand for the same one the best counts, not their sum.
            most = np.zeros_like(scores)
            for span, part in zip(spans, parts, strict=True):
                rows = postings.rows[span]
                most[rows] = np.maximum(most[rows], part)
            scores += most
        return scores if found else None

    def _asked(self, text: str) -> Iterator[list[tuple[int, np.float32]]]:
        """Of each word of the text, the catalogue's words that stand for it and what they count."""
        place = self.postings.place
        parts = chunks(text)
        wanted = {term: chunk for chunk in parts for term in terms(chunk)}
        pairs = (singular(a + b) for a, b in pairwise(parts))
        wanted.update((term, term) for term in pairs if term in place)
        guesses = _MOST_GUESSES
        for term, chunk in wanted.items():
            if term in place:
                yield [(place[term], np.float32(1))]
            elif self.options.near and guesses and len(term) > 2 and term.isalpha():
                guesses -= 1
                if near := self.postings.near({term, chunk} if chunk.isalpha() else {term}):
                    yield [(word, np.float32(self.options.near * share)) for word, share in near]
