"""Chroma's errors as ours, and whether a Chroma is there at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from crossrec_llm.errors import IndexDamaged, IndexMismatch, StoreUnavailable
from crossrec_llm.store.files import disk_full


def parsed(url: str) -> tuple[str, int, bool]:
    """Host, port and whether it is asked by TLS; StoreUnavailable for what is no address."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise StoreUnavailable(f"{url}: not an address ({error})") from error
    plain = parts.path in ("", "/") and not (parts.query or parts.fragment or parts.username)
    if parts.scheme not in ("http", "https") or not host or not plain:
        raise StoreUnavailable(f"{url}: a Chroma server's address is http://host:port")
    return host, port or (443 if parts.scheme == "https" else 8000), parts.scheme == "https"


def require_chroma(url: str, timeout: float) -> None:
    """Ask what is there before Chroma's client does, which would wait for ever."""
    import httpx

    host, port, ssl = parsed(url)
    address = f"{'https' if ssl else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
    with translated(url):
        answer = httpx.get(f"{address}/api/v2/heartbeat", timeout=min(timeout, 10.0))
    try:
        alive = "nanosecond heartbeat" in answer.json()
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError):
        alive = False
    if not alive:
        raise StoreUnavailable(
            f"{url}: what answers there is not a Chroma server (HTTP {answer.status_code}); "
            f"{_start(port)}"
        )


class NoAnswer(StoreUnavailable):
    """A server that may answer when it is asked again."""


def _start(port: int) -> str:
    return f"`chroma run --path DIR --port {port}` starts one"


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Chroma's errors as ours; `place` is a folder or a server's url."""
    import httpx
    from chromadb.errors import ChromaError, InvalidArgumentError, InvalidDimensionException

    try:
        yield
    except httpx.TransportError as error:
        port = parsed(place)[1]
        why = str(error) or type(error).__name__
        raise NoAnswer(f"{place}: no Chroma server answers ({why}); {_start(port)}") from error
    except (InvalidDimensionException, InvalidArgumentError) as error:
        raise IndexMismatch(f"{place}: Chroma refused the vectors or texts: {error}") from error
    except ChromaError as error:
        text = str(error)
        if "is full" in text or "No space left" in text or _is_full(place):
            raise disk_full(place) from error
        if "disk I/O" in text or "readonly" in text or "unable to open" in text:
            raise StoreUnavailable(
                f"{place}: Chroma cannot write there ({text}); check the folder, its permissions "
                "and the free space"
            ) from error
        raise damaged(place, text) from error
    except Exception as error:
        # What a server says in no form that Chroma's client knows arrives as one of these.
        if "://" in place and (type(error) is Exception or isinstance(error, ValueError)):
            raise NoAnswer(
                f"{place}: the Chroma server could not do it ({str(error)[:200]})"
            ) from error
        raise


def _is_full(place: str) -> bool:
    """Whether a folder has next to no room left: Chroma does not always say why it failed."""
    folder = Path(place)
    return folder.is_dir() and shutil.disk_usage(folder).free < 1_000_000


def damaged(place: str, why: str) -> IndexDamaged:
    """The error to raise for a Chroma that lacks something."""
    return IndexDamaged(
        f"{place}: Chroma does not have what it should ({why}); run `crossrec build` again"
    )
