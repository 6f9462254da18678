"""What clean tables hold, in a few words: a column that was read wrongly shows here."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossrec_llm.tables.events import REAL_TIME

_LARGEST = 3
_EVENTS = 8


def item_facts(table: pa.Table) -> tuple[str, ...]:
    """Prices, dates and availability; categories. Of a table of ITEMS_SCHEMA."""
    n = len(table)
    facts = []
    prices = table["price"].drop_null()
    if len(prices):
        low, high = pc.min_max(prices).as_py().values()
        facts.append(f"prices {low:,.2f} to {high:,.2f} ({len(prices):,} of {n:,} items)")
    if span := _span(table["added"]):
        facts.append(f"added {span}")
    facts.append(f"{pc.sum(table['available']).as_py() or 0:,} of {n:,} items available")
    filled = table["category"].filter(pc.greater(pc.list_value_length(table["category"]), 0))
    tops = pc.list_element(filled, 0)
    categories = f"top categories {pc.count_distinct(tops).as_py():,}: {_largest(tops, _LARGEST)}"
    return ("; ".join(facts), categories if len(tops) else "no categories")


def event_facts(table: pa.Table) -> tuple[str, ...]:
    """Users, items and dates; events by name. Of a table of EVENTS_SCHEMA."""
    if len(table) == 0:
        return ()
    users, items = (pc.count_distinct(table[name]).as_py() for name in ("user_id", "item_id"))
    facts = [f"users {users:,}; items {items:,}"]
    if span := _span(table["timestamp"]):
        facts.append(span)
    values = table["value"].drop_null()
    if len(values):
        low, high = pc.min_max(values).as_py().values()
        facts.append(f"values {low:,g} to {high:,g}")
    return ("; ".join(facts), f"events: {_largest(table['event'], _EVENTS)}")


def _span(column: pa.ChunkedArray) -> str:
    """First and last day; timestamps before 1980 are no times but positions."""
    clock = column.drop_null().to_numpy()
    if not len(clock):
        return ""
    if clock.max() < REAL_TIME:
        return f"positions {clock.min():,g} to {clock.max():,g}"
    return " to ".join(map(_day, (clock.min(), clock.max())))


def _day(seconds: np.floating) -> str:
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return (epoch + dt.timedelta(seconds=float(seconds))).date().isoformat()


def _largest(texts: pa.ChunkedArray, n: int) -> str:
    counts = pc.value_counts(texts.combine_chunks()).to_pylist()
    named = sorted((-c["counts"], c["values"] or "without a name") for c in counts)
    shown = (f"{name[:60]} {-count:,}" for count, name in named[:n])
    return ", ".join(shown) + (" ..." if len(named) > n else "")
