"""Templates -> HTML."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

STATIC = Path(__file__).parent / "static"

PAGES = (
    ("/", "For you"),
    ("/compare", "Compare"),
    ("/people", "People"),
    ("/map", "Map"),
    ("/bridges", "Bridges"),
    ("/reports", "Reports"),
    ("/health", "Health"),
)
"""Address and name of each page, in the order of the menu."""


@cache
def _templates() -> Environment:
    folder = Path(__file__).parent / "templates"
    found = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals["pages"] = PAGES
    found.filters["picture"] = picture
    found.filters["price"] = price
    found.filters["tojson_text"] = json.dumps  # escaped like any text, where `tojson` is markup
    return found


def picture(url: str) -> str:
    """The address of a picture that a page may show: http(s) only, else empty.

    The browser loads it; nothing here does.
    """
    return url if url.startswith(("https://", "http://")) else ""


def price(value: float) -> str:
    """As a shop writes it; the currency is the catalogue's own, and not known here."""
    return f"{value:,.2f}"


def page(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A template as an answer; every value is escaped."""
    return HTMLResponse(_templates().get_template(template).render(**values), status)
