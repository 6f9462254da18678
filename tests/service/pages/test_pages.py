"""Every page, in both widths and both themes."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.routing import Route

from crossrec_llm.service import ServiceOptions
from crossrec_llm.service.app import create_app
from crossrec_llm.service.pages.rendering import PAGES
from tests.service.pages.conftest import fits

AXE = Path(__file__).parent / "axe" / "axe.min.js"

# Every page has at least one address here; the second half of a pair is the status.
ADDRESSES = {
    "/": (
        ("/", 200),
        ("/?user=u1&cross_share=0.3&diversity=0.4&category=Books&why_not=p-chess-clock", 200),
        ("/?text=a%20warm%20jacket&price_max=50&max_per_brand=1&boost=new%3D0.5", 200),
        ("/?user=u3&brand=nobody", 422),
        ("/?user=nobody-at-all", 404),
    ),
    "/compare": (("/compare", 200), ("/compare?user=u1&b.diversity=0.8&a.k=4", 200)),
    "/people": (("/people", 200), ("/people?user=u2", 200)),
    "/map": (("/map", 200), ("/map?q=chess", 200), ("/map?user=u1", 200), ("/map?item=x", 404)),
    "/bridges": (("/bridges", 200), ("/bridges?home=Books&target=Garden", 200)),
    "/reports": (("/reports", 200),),
    "/health": (("/health", 200),),
}
EVERY = [pair for page in ADDRESSES.values() for pair in page] + [("/nothing-here", 404)]


def test_every_page_has_an_address_here(service_index: Path) -> None:
    app = create_app(ServiceOptions(tenants={"default": service_index}))
    there = {route.path for route in _routes(app.routes)}

    assert {address for address, _ in PAGES if address in there} == ADDRESSES.keys()


def _routes(routes):
    for route in routes:
        if isinstance(route, Route):
            yield route
        else:
            inner = getattr(route, "routes", None) or getattr(
                getattr(route, "original_router", None), "routes", []
            )
            yield from _routes(inner)


@pytest.mark.parametrize("width", ["wide", "narrow"])
@pytest.mark.parametrize(("address", "status"), EVERY)
def test_it_is_whole_accessible_and_keeps_to_itself(
    served: str, opening, address: str, status: int, width: str
) -> None:
    page, seen = opening(served, width)

    answer = page.goto(served + address, wait_until="load")

    assert answer.status == status
    assert fits(page)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert not serious(page), scheme
    assert not seen.outside
    assert not seen.dialogs
    assert not [error for error in seen.errors if f"status of {status}" not in error]


def serious(page) -> list[str]:
    """What axe-core finds that is serious or critical; every hidden part is opened first."""
    page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text("utf-8"))  # as a debugger does: no policy of the page applies
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {node['html'][:200]} {node.get('failureSummary', '')[:200]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
