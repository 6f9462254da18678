"""Maps: how long one takes, how well it keeps neighbours, and how smoothly a browser draws it."""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from crossrec_llm.atlas import lay_out, nearest_neighbours

SEED, DIM, K, PROBES = 7, 384, 10, 1_000
SIZES = (7_000, 38_000, 350_000)
TOPICS = 400
_CHROMIUM = (
    "--headless --no-sandbox --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync "
    "--use-gl=angle --use-angle=swiftshader --enable-unsafe-swiftshader"
).split()


def mixture(n: int) -> np.ndarray:
    """(n, DIM) float32 unit rows around TOPICS random directions."""
    rng = np.random.default_rng(SEED)
    topics = rng.normal(size=(TOPICS, DIM)).astype(np.float32)
    topics /= np.linalg.norm(topics, axis=1, keepdims=True)
    rows = np.empty((n, DIM), np.float32)
    for start in range(0, n, 20_000):
        block = rows[start : start + 20_000]
        block[:] = topics[rng.integers(0, TOPICS, len(block))]
        block += rng.normal(0, 0.04, block.shape).astype(np.float32)
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    return rows


def laid_out(vectors: np.ndarray) -> dict[str, float]:
    """What a map took, and what it kept."""
    started = time.perf_counter()
    near = nearest_neighbours(vectors, 15, seed=SEED)
    between = time.perf_counter()
    at = lay_out(vectors, near, seed=SEED)
    ended = time.perf_counter()
    figures = {
        "seconds, neighbours": between - started,
        "seconds, layout": ended - between,
        "seconds": ended - started,
        **kept(vectors, near, at),
    }
    print(f"{len(vectors)} items: {figures}", file=sys.stderr)
    return figures


def kept(vectors: np.ndarray, near: np.ndarray, at: np.ndarray) -> dict[str, float]:
    """Of the 10 nearest of 1,000 items: how many are in the graph, and how many in the map.

    Trustworthiness as Venna & Kaski (2001), summed over these items.
    """
    n = len(vectors)
    rows = np.sort(np.random.default_rng(SEED).choice(n, min(n, PROBES), replace=False))
    _, beside = cKDTree(at).query(at[rows], K + 1)
    in_graph, in_map, surplus = 0, 0, 0
    for row, found in zip(rows, beside, strict=True):
        cosines = vectors @ vectors[row]
        cosines[row] = -np.inf
        true = set(np.argpartition(cosines, -K)[-K:].tolist())
        mapped = [one for one in found.tolist() if one != row][:K]
        in_graph += len(true & set(near[row, :K].tolist()))
        in_map += len(true & set(mapped))
        ranks = (cosines[None] > cosines[mapped][:, None]).sum(axis=1) + 1
        surplus += int(np.maximum(0, ranks - K).sum())
    pairs = len(rows) * K
    return {
        "recall@10, graph": in_graph / pairs,
        "recall@10, map": in_map / pairs,
        "trustworthiness@10": 1 - 2 * surplus / (pairs * (2 * n - 3 * K - 1)),
    }


def points(at: np.ndarray, categories: int = 26) -> bytes:
    """A map as the service sends it, coloured by place."""
    n = len(at)
    low, span = at.min(axis=0), float(np.ptp(at, axis=0).max())
    place = np.rint((at - low) / span * 65_535).astype("<u2")
    codes = (place[:, 0] // (65_536 // categories + 1)).astype("<u2")
    counts = np.bincount(codes, minlength=categories).tolist()
    told = json.dumps(
        {
            "generation": "0001-bench",
            "items": n,
            "categories": [{"name": f"Part {i}", "count": c} for i, c in enumerate(counts)],
            "marks_told": [],
        }
    ).encode()
    told += b" " * (-len(told) % 4)
    marks = np.zeros(n, np.uint8).tobytes()
    return len(told).to_bytes(4, "little") + told + place.tobytes() + codes.tobytes() + marks


_FRAMES = """async () => {
  const box = document.getElementById("canvases").getBoundingClientRect();
  const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
  const gaps = [];
  let before = 0;
  for (let i = 0; i < 90; i++) {
    const now = await new Promise(requestAnimationFrame);
    if (i > 5) gaps.push(now - before);
    before = now;
    const options = {deltaY: i < 45 ? -30 : 30, clientX: x, clientY: y, cancelable: true};
    document.getElementById("canvases").dispatchEvent(new WheelEvent("wheel", options));
  }
  return gaps;
}"""


def drawn(address: str, content: bytes) -> dict[str, Any]:
    """Milliseconds between frames while the map of a served page is moved, with other points."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=_CHROMIUM)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.route("**/map/points*", lambda route: route.fulfill(body=content))
        page.goto(f"{address}/map")
        page.wait_for_selector("#map[data-drawn]", timeout=60_000)
        gaps = sorted(page.evaluate(_FRAMES))
        kind = page.get_attribute("#map", "data-drawn")
        browser.close()
    return {
        "drawn by": kind,
        "ms between frames, median": statistics.median(gaps),
        "ms between frames, p95": gaps[int(0.95 * len(gaps))],
    }


def measured(served: str, index: Path, only: tuple[str, ...]) -> dict[str, Any]:
    """Every figure: of random mixtures by size, of an index's own vectors, and of frames."""
    found: dict[str, Any] = {}
    for size in SIZES:
        if not only or str(size) in only:
            found[f"{size:,} items"] = laid_out(mixture(size))
    vectors = np.load(next(index.glob("generations/*/vectors.npy")))
    found["completejourney"] = laid_out(vectors)
    anywhere = np.random.default_rng(SEED).normal(size=(SIZES[-1], 2))
    found["frames"] = {"points": len(anywhere), **drawn(served, points(anywhere))}
    return found
