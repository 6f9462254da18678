"""What a recommender must beat: simple and strong methods, each with sensible settings.

Settings come from validation on several public logs, since libraries' defaults are weak there
(item-item BM25 finds .11 at its defaults, .14 at these); what depends much on the log is chosen on
held-out items of the training part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import pyarrow as pa

from crossrec_llm.errors import DataError
from crossrec_llm.evaluation.measures import measure
from crossrec_llm.evaluation.protocols import Split, split
from crossrec_llm.evaluation.systems import CaseTable, FullRanking, FullScorer
from crossrec_llm.signals import (
    ItemToItem,
    LeftOut,
    NeighboursOptions,
    TextOptions,
    fit_neighbours,
)
from crossrec_llm.signals.inverse import ExactInverse
from crossrec_llm.tables import Catalogue, Histories, HistoryOptions

EASE_MOST_ITEMS = 15_000
EASE_RIDGES = (30.0, 100.0, 300.0)
EASE_TUNED_BELOW = 5_000
EASE_DECAY = 0.8
ALS_FACTORS, ALS_RIDGE, ALS_ALPHA = (64, 256), 1.0, 10.0
BM25_KEEP, BM25_K1, BM25_B, BM25_DECAY = 300, 0.5, 0.2, 0.8
TUNED_ON = 2_000


@dataclass(frozen=True, eq=False)
class Training:
    """What baselines may learn from.

    events : the training part (EVENTS_SCHEMA).
    raw, vectors : (n_items, dim) float32 unit rows, as encoded and in the index's space.
    text : how the index pools a history.
    embed : free text -> (dim,) float32 raw unit vector.
    seed : of draws and of what is fitted from a random start.
    target_category : what is asked for, where it is one that the person has nothing of.
    """

    catalogue: Catalogue
    raw: np.ndarray
    vectors: np.ndarray
    events: pa.Table
    options: HistoryOptions
    text: TextOptions
    embed: Callable[[str], np.ndarray]
    seed: int = 0
    target_category: str = ""

    @cached_property
    def histories(self) -> Histories:
        return Histories.from_events(self.events, self.catalogue, self.options)

    @cached_property
    def taken(self) -> Any:
        """(people, n_items) scipy CSR float32 of ones."""
        return self.histories.matrix(len(self.catalogue))

    @cached_property
    def _tuning(self) -> Split:
        """The same kind of question once more, inside the training part; some people asked."""
        inner = split(
            "cross-warm" if self.target_category else "warm",
            self.catalogue,
            self.events,
            self.options,
            seed=self.seed,
            target_category=self.target_category or None,
        )
        return inner.sample(TUNED_ON, self.seed)

    def tuned(self, choices: Sequence[Fit], otherwise: int) -> int:
        """Which of some choices has the best NDCG@10 on items held out of the training part.

        `otherwise` where the training part is too short to hold something out.
        """
        try:
            tuning = self._tuning
        except DataError:
            return otherwise
        inner = replace(self, events=tuning.events)
        table = CaseTable.of(self.catalogue, tuning.cases)
        found = []
        for fit in choices:
            ranks = FullRanking("", fit(inner)).rank(table, 10).ranks
            found.append(float(measure(ranks, table.gains, 10)["ndcg"].mean()))
        return int(np.argmax(found))


Fit = Callable[[Training], FullScorer]


class Popular:
    """How many people took an item."""

    def __init__(self, people: np.ndarray) -> None:
        self.people = people.astype(np.float32)

    def score(self, table: CaseTable, part: slice) -> np.ndarray:
        """As `FullScorer.score`."""
        return np.tile(self.people, (part.stop - part.start, 1))


class Walked:
    """A history times a matrix from items to items, dense or scipy sparse."""

    def __init__(self, matrix: Any, *, decay: float = 1.0, last: int | None = None) -> None:
        self.matrix, self.decay, self.last = matrix, decay, last

    def score(self, table: CaseTable, part: slice) -> np.ndarray:
        """As `FullScorer.score`."""
        histories = table.histories(part, decay=self.decay, last=self.last)
        scores = histories @ self.matrix
        dense = scores if isinstance(scores, np.ndarray) else scores.toarray()
        return np.ascontiguousarray(dense, np.float32)


class Pooled:
    """Cosine with the weighted mean of the history's vectors."""

    def __init__(self, vectors: np.ndarray, *, decay: float = 1.0, last: int | None = None) -> None:
        self.vectors, self.decay, self.last = vectors, decay, last

    def score(self, table: CaseTable, part: slice) -> np.ndarray:
        """As `FullScorer.score`."""
        histories = table.histories(part, decay=self.decay, last=self.last)
        return np.asarray((histories @ self.vectors) @ self.vectors.T, np.float32)


class Factors:
    """Alternating least squares: a person's factors from the history, times the items'."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def score(self, table: CaseTable, part: slice) -> np.ndarray:
        """As `FullScorer.score`."""
        histories = table.histories(part)
        with _one_blas_thread():
            people = self.model.recalculate_user(np.arange(histories.shape[0]), histories)
        return np.asarray(people @ self.model.item_factors.T, np.float32)


class Lexical:
    """Words that a free text shares with an item's whole text (BM25, Lucene's form)."""

    def __init__(self, texts: list[str]) -> None:
        import bm25s

        self.retriever = bm25s.BM25(method="lucene")
        self.retriever.index(self._tokens(texts), show_progress=False)

    def score(self, table: CaseTable, part: slice) -> np.ndarray:
        """As `FullScorer.score`."""
        asked = [table.cases[c].text for c in range(part.start, part.stop)]
        tokens = self._tokens(asked)
        return np.stack([self.retriever.get_scores(words) for words in tokens]).astype(np.float32)

    def _tokens(self, texts: list[str]) -> Any:
        import bm25s
        import Stemmer

        stemmer = Stemmer.Stemmer("english")
        return bm25s.tokenize(
            texts, stopwords="en", stemmer=stemmer, return_ids=False, show_progress=False
        )


class Meant:
    """Cosine of the free text with an item's text, both as encoded."""

    def __init__(self, raw: np.ndarray, embed: Callable[[str], np.ndarray]) -> None:
        self.raw, self.embed = raw, embed

    def score(self, table: CaseTable, part: slice) -> np.ndarray:
        """As `FullScorer.score`."""
        asked = [self.embed(table.cases[c].text) for c in range(part.start, part.stop)]
        return np.asarray(np.stack(asked) @ self.raw.T, np.float32)


# -- fitting ---------------------------------------------------------------------------------------


def _popularity(t: Training) -> FullScorer:
    return Popular(t.histories.counts_per_item(len(t.catalogue)))


def _neighbours(t: Training) -> FullScorer:
    """c_ij / (sqrt(n_i n_j) + 10), the 300 highest of each row, decay 0.8."""
    options = NeighboursOptions()
    fitted = fit_neighbours(t.histories, len(t.catalogue), options)
    return Walked(_csr(fitted), decay=options.decay, last=options.last)


def _csr(fitted: ItemToItem) -> Any:
    import scipy.sparse as sp

    n = len(fitted.indptr) - 1
    return sp.csr_matrix((fitted.values, fitted.columns, fitted.indptr), shape=(n, n))


def _ease(t: Training) -> FullScorer:
    """Steck 2019 without text; the ridge is tuned where a fit takes seconds, else 100."""
    known = int((t.taken.getnnz(axis=0) > 0).sum())
    if known > EASE_MOST_ITEMS:
        raise LeftOut(
            f"{known:,} items were taken by somebody; above {EASE_MOST_ITEMS:,} its matrix takes "
            "gigabytes and minutes"
        )
    place = EASE_RIDGES.index(100.0)
    if known <= EASE_TUNED_BELOW:
        place = t.tuned([partial(_ease_with, ridge=ridge) for ridge in EASE_RIDGES], place)
    return _ease_with(t, EASE_RIDGES[place])


def _ease_with(t: Training, ridge: float) -> FullScorer:
    """B = -P / diag(P), 0 on the diagonal, P = (X'X + ridge I)^-1; only items that were taken."""
    known = np.flatnonzero(t.taken.getnnz(axis=0))
    columns = t.taken[:, known]
    no_texts = np.empty((len(known), 0), np.float32)
    inverse = ExactInverse((columns.T @ columns).tocsr(), no_texts, 0.0, ridge)
    among = inverse.rows(0, len(known)) / -inverse.diagonal
    np.fill_diagonal(among, 0)
    weights = np.zeros((t.taken.shape[1],) * 2, np.float32)
    weights[np.ix_(known, known)] = among
    return Walked(weights, decay=EASE_DECAY)


def _als(t: Training) -> FullScorer:
    """Hu, Koren and Volinsky 2008; the number of factors is tuned."""
    fits = [partial(_als_with, factors=factors) for factors in ALS_FACTORS]
    return fits[t.tuned(fits, 0)](t)


def _als_with(t: Training, factors: int) -> FullScorer:
    from implicit.cpu.als import AlternatingLeastSquares

    with _one_blas_thread():
        model = AlternatingLeastSquares(
            factors=factors, regularization=ALS_RIDGE, alpha=ALS_ALPHA, random_state=t.seed
        )
        model.fit(t.taken, show_progress=False)
    return Factors(model)


def _one_blas_thread() -> Any:
    """The package runs threads of its own, and asks for this."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, "blas")


def _bm25(t: Training) -> FullScorer:
    """Item to item: BM25-weighted columns of the user-item matrix, compared; decay 0.8."""
    from implicit._nearest_neighbours import all_pairs_knn
    from implicit.nearest_neighbours import bm25_weight

    weighted = bm25_weight(t.taken.T, BM25_K1, BM25_B).T.tocsr()
    similar = all_pairs_knn(weighted, BM25_KEEP, show_progress=False).tocsr()
    return Walked(similar.astype(np.float32), decay=BM25_DECAY)


def _llmseqsim(t: Training) -> FullScorer:
    """Raw vectors of the last item, or of all, by what is better on held-out items."""
    lengths = (1, None)
    fits = [partial(_pooled, last=last) for last in lengths]
    return fits[t.tuned(fits, 1)](t)


def _pooled(t: Training, last: int | None) -> FullScorer:
    return Pooled(t.raw, last=last)


def _text(t: Training) -> FullScorer:
    """The index's own text signal alone."""
    return Pooled(t.vectors, decay=t.text.decay, last=t.text.last)


def _lexical(t: Training) -> FullScorer:
    """Over title, brand, description and category."""
    names = ("title", "brand", "description")
    columns = [t.catalogue.table[name].to_pylist() for name in names]
    paths = (" ".join(path) for path in t.catalogue.table["category"].to_pylist())
    return Lexical([" ".join(parts) for parts in zip(*columns, paths, strict=True)])


def _meant(t: Training) -> FullScorer:
    return Meant(t.raw, t.embed)


BASELINES: dict[str, Fit] = {
    "popularity": _popularity,
    "neighbours": _neighbours,
    "ease": _ease,
    "als": _als,
    "bm25": _bm25,
    "llmseqsim": _llmseqsim,
    "text": _text,
}
"""For questions of people; "search" has SEARCH_BASELINES."""

SEARCH_BASELINES: dict[str, Fit] = {"bm25": _lexical, "text": _meant}
