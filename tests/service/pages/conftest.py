"""A real server over the tiny index, and a real browser in front of it."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from crossrec_llm.atlas import make_map
from crossrec_llm.service import ServiceOptions
from crossrec_llm.service.app import create_app

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' http: https:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
WIDTHS = {"wide": (1280, 900), "narrow": (390, 844)}


@dataclass
class Seen:
    """What a page did beside showing itself."""

    errors: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)


@contextmanager
def serving(index: Path, options: ServiceOptions | None = None) -> Iterator[str]:
    """A server in a thread of its own; its address."""
    app = create_app(options or ServiceOptions(tenants={"default": index}))

    async def strict(scope: Any, receive: Any, send: Any) -> None:
        """The strictest policy that the pages must work under, where the app sets none itself."""

        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = message.setdefault("headers", [])
                if not any(name == b"content-security-policy" for name, _ in headers):
                    headers.append((b"content-security-policy", POLICY.encode()))
            await send(message)

        await app(scope, receive, sent if scope["type"] == "http" else send)

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(strict, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not server.started and thread.is_alive():
                thread.join(0.02)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)


@pytest.fixture(scope="session")
def pages_index(service_index: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy that the pages may write to."""
    index = Path(shutil.copytree(service_index, tmp_path_factory.mktemp("pages") / "index"))
    make_map(index)
    return index


@pytest.fixture(scope="session")
def served(pages_index: Path) -> Iterator[str]:
    with serving(pages_index) as address:
        yield address


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("there is no chromium here (on Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


Opened = tuple[Any, Seen]


@pytest.fixture
def opening(browser: Any) -> Iterator[Callable[..., Opened]]:
    """A page of a width, and what it does; what goes to another host is kept from it."""
    contexts = []

    def open_page(base: str, width: str = "wide", **options: Any) -> Opened:
        wide, high = WIDTHS[width]
        context = browser.new_context(viewport={"width": wide, "height": high}, **options)
        contexts.append(context)
        seen = Seen()

        def route(one: Any) -> None:
            if one.request.url.startswith(base + "/"):
                return one.continue_()
            if one.request.resource_type != "image":
                seen.outside.append(one.request.url)
            return one.abort()

        def told(message: Any) -> None:
            blocked_picture = "net::ERR_FAILED" in message.text and not message.location.get(
                "url", ""
            ).startswith(base)
            of_driver = "GL Driver Message" in message.text  # of WebGL without a graphics card
            if message.type in ("error", "warning") and not (blocked_picture or of_driver):
                seen.errors.append(message.text)

        def dialog(one: Any) -> None:
            seen.dialogs.append(one.message)
            one.dismiss()

        context.route("**/*", route)
        page = context.new_page()
        page.on("console", told)
        page.on("pageerror", lambda error: seen.errors.append(str(error)))
        page.on("dialog", dialog)
        page.set_default_timeout(15_000)
        return page, seen

    yield open_page
    for context in contexts:
        context.close()


def fits(page: Any) -> bool:
    """Whether nothing sticks out to the side."""
    return bool(
        page.evaluate(
            "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        )
    )


def until(page: Any, condition: str, seconds: float = 15.0) -> None:
    """Wait for a condition; Playwright's own way needs `eval`, which the policy does not let in."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"never: {condition}"
        page.wait_for_timeout(20)
