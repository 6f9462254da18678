"""Filter -> row mask."""

from __future__ import annotations

import numpy as np

from crossrec_llm.records import Filter, Query
from crossrec_llm.tables import Catalogue


def home_categories(catalogue: Catalogue, query: Query) -> np.ndarray:
    """Sorted codes of the top categories in the query's history; empty without one."""
    return np.unique(catalogue.top_codes[query.history])


def crosses(catalogue: Catalogue, home: np.ndarray) -> np.ndarray:
    """(n_items,) bool: outside the home categories; nothing is where there are none."""
    if not len(home):
        return np.zeros(len(catalogue), bool)
    return ~np.isin(catalogue.top_codes, home)


def allowed_rows(catalogue: Catalogue, filter: Filter, query: Query) -> np.ndarray:
    """(n_items,) bool: the rows that may be in the answer.

    Disliked items never are; the asked item itself is in the history of a "similar" query, and
    stays out even when seen items are let in.

    Raises
    ------
    QueryError : a category that the catalogue does not have.
    UnknownItem : an id of `exclude` or `only` that it does not have.
    """
    mask = np.ones(len(catalogue), bool)
    if filter.category:
        mask &= np.logical_or.reduce([catalogue.under(path) for path in filter.category])
    for path in filter.not_category:
        mask &= ~catalogue.under(path)
    home = home_categories(catalogue, query)
    if filter.cross != "any" and len(home):
        outside = crosses(catalogue, home)
        mask &= outside if filter.cross == "only" else ~outside
    # Comparisons with NaN are False, so an item without a price or date fails.
    if filter.price_min is not None:
        mask &= catalogue.prices >= filter.price_min
    if filter.price_max is not None:
        mask &= catalogue.prices <= filter.price_max
    if filter.since is not None:
        mask &= catalogue.added >= filter.since
    if filter.brand:
        mask &= catalogue.brand_mask(filter.brand)
    if filter.available:
        mask &= catalogue.available
    if filter.only is not None:
        given = np.zeros(len(catalogue), bool)
        given[[catalogue.row(item_id) for item_id in filter.only]] = True
        mask &= given
    mask[[catalogue.row(item_id) for item_id in filter.exclude]] = False
    if not filter.include_seen or query.kind == "similar":
        mask[query.history] = False
    mask[query.disliked] = False
    return mask
