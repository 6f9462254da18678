"""Filter -> row mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crossrec_llm.errors import QueryError
from crossrec_llm.filter import Filter
from crossrec_llm.records import Query
from crossrec_llm.tables import Catalogue


def home_categories(catalogue: Catalogue, query: Query) -> np.ndarray:
    """Sorted codes of the top categories in the query's history; empty without one.

    What has no category is at home nowhere.
    """
    codes = np.unique(catalogue.top_codes[query.history])
    return codes[codes != catalogue.no_category]


def crosses(catalogue: Catalogue, home: np.ndarray) -> np.ndarray:
    """(n_items,) bool: in a category outside the home categories; nothing where there are none."""
    if not len(home):
        return np.zeros(len(catalogue), bool)
    codes = catalogue.top_codes
    return ~np.isin(codes, home) & (codes != catalogue.no_category)


def allowed_rows(catalogue: Catalogue, filter: Filter, query: Query) -> np.ndarray:
    """(n_items,) bool: the rows that may be in the answer.

    Removed, disliked and struck items never are; the asked item itself is in the history of a
    "similar" query, and stays out even when seen items are let in.

    Raises
    ------
    QueryError : a category or brand that the catalogue does not have, a price or date where no
        item has one.
    """
    mask = catalogue.present.copy()
    if filter.category:
        mask &= np.logical_or.reduce([catalogue.under(path) for path in filter.category])
    for path in filter.not_category:
        mask &= ~catalogue.under(path)
    home = home_categories(catalogue, query)
    if filter.cross != "any" and len(home):
        only = filter.cross == "only"
        mask &= crosses(catalogue, home) if only else np.isin(catalogue.top_codes, home)
    # Comparisons with NaN are False, so an item without a price or date fails.
    if filter.price_min is not None:
        mask &= _known_values(catalogue.prices, "price") >= filter.price_min
    if filter.price_max is not None:
        mask &= _known_values(catalogue.prices, "price") <= filter.price_max
    if filter.since is not None:
        added = _known_values(catalogue.added, "date it was added")
        mask &= added >= np.float64(filter.since)  # type: ignore[arg-type]
    if filter.added_within is not None:
        mask &= catalogue.added_within(filter.added_within)
    if filter.brand:
        mask &= catalogue.brand_mask(filter.brand)
    if filter.available:
        mask &= catalogue.available
    if filter.only is not None:
        given = np.zeros(len(catalogue), bool)
        given[_known(catalogue, filter.only)] = True
        mask &= given
    mask[_known(catalogue, filter.exclude)] = False
    if not filter.include_seen or query.kind == "similar":
        mask[query.history] = False
    mask[query.disliked] = False
    if query.struck is not None:
        mask[query.struck] = False
    return mask


def alike(query: Query, raw: np.ndarray, least: float) -> np.ndarray:
    """(n_items,) bool: which items read nearly as an item of the history does.

    Parameters
    ----------
    raw : (n_items, dim) float32 unit rows as encoded.
    least : the cosine from which on they do.
    """
    return np.asarray((raw @ raw[query.history].T >= least).any(axis=1))


def _known_values(values: np.ndarray, what: str) -> np.ndarray:
    """The same values, refused where no item has one."""
    if np.isnan(values).all():
        raise QueryError(f"no item of this catalogue has a {what}, so none can pass")
    return values


def _known(catalogue: Catalogue, item_ids: Sequence[str]) -> np.ndarray:
    """Rows of those ids that are there: an item that is gone needs no excluding."""
    rows = catalogue.rows(item_ids)
    return rows[rows >= 0]
