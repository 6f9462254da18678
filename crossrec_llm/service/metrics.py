"""What can be measured of a service while it runs, as text for Prometheus.

Every worker process counts for itself, and a sample says which worker it is of. Where there are
several, each writes what it has down once a second, in a folder that they share, and whichever is
asked tells of all. What was not written for a while is of a worker that has died, and is left out;
the one that takes its place writes over it.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from time import time

import anyio
from anyio.to_thread import run_sync
from filelock import FileLock, Timeout
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from crossrec_llm.errors import CrossrecError
from crossrec_llm.records import Recommendations
from crossrec_llm.service.tenants import Tenant, Tenants
from crossrec_llm.service.watching import Seen
from crossrec_llm.service.working import Work

logger = logging.getLogger(__name__)

EVERY = 1.0
"""Seconds between two writings of what a worker has."""

FORGOTTEN = 10.0
"""Seconds after which what a worker wrote is of one that has died."""

_REQUEST_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_STEP_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
_POOL = (100, 250, 500, 750, 1_000, 2_000, 4_000, 8_000)

_Sample = tuple[str, dict[str, str], float]
_Family = tuple[str, str, str, list[_Sample]]
"""Name, words, type and samples of a metric, as they are written down."""


class Metrics:
    """What one worker counts.

    Parameters
    ----------
    shared : folder where workers write down what they have; None where there is one.
    """

    def __init__(self, tenants: Tenants, work: Work, shared: Path | None = None) -> None:
        self.registry = CollectorRegistry()
        self._tenants = tenants
        self._place = _Place.take(shared) if shared else None

        def counter(name: str, words: str, *labels: str) -> Counter:
            return Counter(f"crossrec_{name}", words, labels, registry=self.registry)

        def histogram(name: str, words: str, ends: Sequence[float], *labels: str) -> Histogram:
            return Histogram(
                f"crossrec_{name}", words, labels, registry=self.registry, buckets=ends
            )

        def gauge(name: str, words: str, now: Callable[[], float]) -> None:
            Gauge(f"crossrec_{name}", words, registry=self.registry).set_function(now)

        self.request_seconds = histogram(
            "request_seconds", "Until a request is answered.", _REQUEST_S, "tenant", "endpoint"
        )
        self.requests = counter(
            "requests", "Requests, by how they were answered.", "tenant", "endpoint", "status"
        )
        self.problems = counter(
            "problems", "Answers that tell of a problem, by its type.", "tenant", "endpoint", "type"
        )
        self.step_seconds = histogram(
            "step_seconds", "In one step of an answer.", _STEP_S, "tenant", "step"
        )
        self.candidates = histogram("candidates", "Pool that a list is made from.", _POOL, "tenant")
        self.lists = counter("lists", "Lists, by what was asked.", "tenant", "kind")
        self.items = counter("items", "Items of all lists of recommendations.", "tenant")
        self.cross_items = counter("cross_items", "Of them outside the home categories.", "tenant")
        self.cold_items = counter("cold_items", "Of them taken by nobody yet.", "tenant")
        self.shortfalls = counter("shortfalls", "Lists that are shorter than asked.", "tenant")
        self.abstentions = counter(
            "abstentions", "Lists with a category that no bridge leads to.", "tenant"
        )
        self.fallbacks = counter("fallbacks", "Exact scans because Chroma was away.", "tenant")
        gauge("questions_running", "Questions being answered.", lambda: work.running)
        gauge("questions_waiting", "Questions that wait for their turn.", lambda: work.waiting)
        ProcessCollector(registry=self.registry)

    def tell(self, request: Seen) -> None:
        """Count a request that was answered."""
        tenant, endpoint = request.tenant, request.endpoint
        self.request_seconds.labels(tenant, endpoint).observe(request.seconds)
        self.requests.labels(tenant, endpoint, str(request.status)).inc()
        if request.problem:
            self.problems.labels(tenant, endpoint, request.problem).inc()
        for step in request.record.steps:
            self.step_seconds.labels(tenant, step.name).observe(step.seconds)
        for size in request.record.candidates:
            self.candidates.labels(tenant).observe(size)
        if request.record.fallbacks:
            self.fallbacks.labels(tenant).inc(request.record.fallbacks)
        for one in request.lists:
            self.shortfalls.labels(tenant).inc(one.shortfall is not None)
            if not isinstance(one, Recommendations):
                self.lists.labels(tenant, "audience").inc()
                continue
            self.lists.labels(tenant, one.query["kind"]).inc()
            self.items.labels(tenant).inc(len(one))
            self.cross_items.labels(tenant).inc(sum(item.cross for item in one))
            self.cold_items.labels(tenant).inc(sum(item.cold for item in one))
            self.abstentions.labels(tenant).inc("closed" in one.query)

    def text(self, tenant: str | None = None) -> bytes:
        """Of all workers, in the text format of Prometheus; without other tenants than one."""
        mine = self._written()
        found = _told([mine] if self._place is None else self._place.all(mine))
        shown = [one for one in self._tenants if tenant in (None, one.name)]
        if tenant is not None:
            for family in found:
                family.samples = [
                    sample for sample in family.samples
                    if sample.labels.get("tenant", tenant) in ("", tenant)
                ]  # fmt: skip
        return generate_latest(_Collected([*found, *_of_indexes(shown)]))

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """Write down what this worker has, meanwhile, where there are others."""
        if (place := self._place) is None:
            yield
            return

        async def write() -> None:
            while True:
                await run_sync(lambda: place.write(self._written()))
                await anyio.sleep(EVERY)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write)
            yield
            tasks.cancel_scope.cancel()
        place.leave()

    def _written(self) -> list[_Family]:
        worker = str(self._place.number if self._place else 0)
        return [
            (
                family.name,
                family.documentation,
                family.type,
                [
                    (sample.name, {"worker": worker, **sample.labels}, sample.value)
                    for sample in family.samples
                    if not sample.name.endswith("_created")
                ],
            )
            for family in self.registry.collect()
        ]


class _Place:
    """Where one of several workers writes what it has: the first that no other one has."""

    def __init__(self, folder: Path, number: int, lock: FileLock) -> None:
        self.number = number
        self._folder, self._lock = folder, lock
        self._file = folder / f"worker-{number}.json"

    @classmethod
    def take(cls, folder: Path) -> _Place:
        number = 0
        while True:
            lock = FileLock(folder / f"worker-{number}.lock", timeout=0, thread_local=False)
            try:
                lock.acquire()
            except Timeout:
                number += 1
            else:
                return cls(folder, number, lock)

    def write(self, families: Iterable[_Family]) -> None:
        partial = self._file.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(list(families)))
        partial.replace(self._file)

    def all(self, mine: list[_Family]) -> list[list[_Family]]:
        """What every living worker has, this one's as of now."""
        self.write(mine)  # so that no other one tells of less, later
        now, found = time(), [mine]
        for file in sorted(self._folder.glob("worker-*.json")):
            if file != self._file and now - file.stat().st_mtime < FORGOTTEN:
                found.append(json.loads(file.read_text()))
        return found

    def leave(self) -> None:
        self._file.unlink(missing_ok=True)
        self._lock.release()


class _Collected(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _told(workers: list[list[_Family]]) -> list[Metric]:
    """The samples of all workers, by metric."""
    found: dict[str, Metric] = {}
    for name, words, kind, samples in (family for worker in workers for family in worker):
        metric = found.setdefault(name, Metric(name, words, kind))
        for sample in samples:
            metric.add_sample(*sample)
    return list(found.values())


def _of_indexes(tenants: Iterable[Tenant]) -> list[Metric]:
    """What is the same in every worker: what the indexes are now."""
    up = GaugeMetricFamily(
        "crossrec_index_up", "1 where the index answers, 0 where not.", labels=("tenant",)
    )
    generation = GaugeMetricFamily(
        "crossrec_generation_info", "1; the labels say which answers.",
        labels=("tenant", "generation", "recipe", "blend"),
    )  # fmt: skip
    items = GaugeMetricFamily("crossrec_catalogue_items", "Items of the index.", labels=("tenant",))
    changes = GaugeMetricFamily(
        "crossrec_live_changes", "Changes since the generation was built.", labels=("tenant",)
    )
    unread = GaugeMetricFamily(
        "crossrec_unread_items", "New and changed items that wait to be read.", labels=("tenant",)
    )
    for tenant in tenants:
        try:
            now = tenant.recommender
            receipt, n_changes = now.receipt, now.changes()
            n_items, n_unread = now.catalogue.present.sum(), now.generation.live.unread
        except (CrossrecError, OSError) as error:
            logger.error("the index of tenant %r does not answer: %s", tenant.name, error)
            up.add_metric((tenant.name,), 0)
            continue
        up.add_metric((tenant.name,), 1)
        labels = (tenant.name, receipt.generation, receipt.recipe, receipt.blend)
        generation.add_metric(labels, 1)
        items.add_metric((tenant.name,), float(n_items))
        changes.add_metric((tenant.name,), n_changes)
        unread.add_metric((tenant.name,), n_unread)
    return [up, generation, items, changes, unread]
