"""The pages as pictures, from a real service and a real browser, small enough for a repository."""

from __future__ import annotations

import argparse
import io
import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import uvicorn
from PIL import Image
from playwright.sync_api import sync_playwright

from crossrec_llm.atlas import look, make_map
from crossrec_llm.publishing import generations
from crossrec_llm.service import ServiceOptions
from crossrec_llm.service.app import create_app

SCREENS = Path(__file__).resolve().parents[1] / "docs" / "screens"
LIMIT = 150_000  # bytes of a picture
WIDTHS = {"wide": (1280, 860), "narrow": (390, 844)}

# name, address, width, theme
SHOTS: tuple[tuple[str, str, str, Literal["light", "dark"]], ...] = (
    ("for-you-wide-light", "/?user={user}&cross_share=0.3&diversity=0.4", "wide", "light"),
    ("for-you-narrow-dark", "/?user={user}&cross_share=0.3#found", "narrow", "dark"),
    ("why-not-wide-dark", "/?user={user}&max_per_brand=3&why_not={item}", "wide", "dark"),
    ("compare-wide-light", "/compare?user={user}&b.diversity=0.7#found", "wide", "light"),
    ("people-wide-light", "/people?user={user}", "wide", "light"),
    ("people-narrow-dark", "/people?user={user}#found", "narrow", "dark"),
    ("map-wide-light", "/map?user={user}", "wide", "light"),
    ("bridges-wide-light", "/bridges", "wide", "light"),
    ("health-narrow-dark", "/health", "narrow", "dark"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("index", nargs="?", type=Path, default=Path("index/store/completejourney"))
    parser.add_argument("user", nargs="?", default="1472")
    parser.add_argument("--out", type=Path, default=SCREENS)
    asked = parser.parse_args()
    chromium = shutil.which("chromium") or sys.exit(
        "a browser is needed (on Debian: apt-get install chromium)"
    )
    asked.out.mkdir(parents=True, exist_ok=True)
    name = next(one.name for one in generations(asked.index) if one.state == "live")
    if look(asked.index, name).state != "made":
        make_map(asked.index)
    app = create_app(ServiceOptions(tenants={"default": asked.index}))
    item = _missed(app, asked.user)
    with serving(app) as base, sync_playwright() as started:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = started.chromium.launch(executable_path=chromium, args=options)
        for name, address, width, theme in SHOTS:
            wide, high = WIDTHS[width]
            page = browser.new_page(
                viewport={"width": wide, "height": high},
                color_scheme=theme,
                reduced_motion="reduce",
            )
            there = address.format(user=quote(asked.user), item=quote(item))
            answer = page.goto(base + there, wait_until="networkidle")
            if answer is None or answer.status != 200:
                sys.exit(f"{there}: {page.text_content('main')}")
            size = save(page.screenshot(), asked.out / f"{name}.png")
            print(f"{name}.png {size:,} bytes")
            page.close()
        browser.close()


def _missed(app: Any, user: str) -> str:
    """An item that somebody may well miss: the one after a long list."""
    tenant = next(iter(app.state.service.tenants))
    return str(tenant.recommender.for_user(user, k=40).ids[-1])


def save(picture: bytes, path: Path) -> int:
    """Write a picture with as many colours as fit into the limit; its size."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    for colours in (256, 128, 64, 32):
        image.quantize(colours, dither=Image.Dither.NONE).save(path, optimize=True)
        if (size := path.stat().st_size) < LIMIT:
            return size
    raise SystemExit(f"{path.name}: {size:,} bytes are more than {LIMIT:,}")


@contextmanager
def serving(app: Any) -> Iterator[str]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started and thread.is_alive():
            thread.join(0.05)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


if __name__ == "__main__":
    main()
