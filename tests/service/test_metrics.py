"""What can be measured, by one worker and by several."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from crossrec_llm.service import ServiceOptions
from crossrec_llm.service.app import create_app
from crossrec_llm.service.keys import add_key
from crossrec_llm.service.metrics import FORGOTTEN, Metrics
from crossrec_llm.service.options import MetricsOptions
from tests.service.conftest import client_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def app(service_index: Path):
    return create_app(ServiceOptions(tenants={"default": service_index}))


def samples(text: str) -> dict[tuple[str, tuple], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(text: str, name: str, **labels: str) -> float:
    """The sum of the samples of a name that have these labels."""
    return sum(
        number
        for (one, held), number in samples(text).items()
        if one == name and labels.items() <= dict(held).items()
    )


def test_what_happened_is_counted(app) -> None:
    rec = next(iter(app.state.service.tenants)).recommender
    user_id, n_items = rec.generation.users.ids[0], len(rec.catalogue)
    with client_of(app) as client:
        body = {"user_id": user_id, "k": 5}
        lists = [client.post("/v1/recommendations", json=body).json() for _ in range(3)]
        short = client.post("/v1/recommendations", json={**body, "only": [], "k": 2}).json()
        client.post("/v1/recommendations", json={"user_id": "nobody"})
        client.post("/v1/audience", json={"item_id": rec.catalogue.ids[0]})
        told = client.get("/metrics")

    assert told.headers["content-type"].startswith("text/plain; version=0.0.4")
    text, at = told.text, "/v1/recommendations"
    assert short["shortfall"]
    assert value(text, "crossrec_requests_total", endpoint=at, status="200") == 4
    assert value(text, "crossrec_requests_total", endpoint=at, status="404") == 1
    assert value(text, "crossrec_problems_total", endpoint=at, type="unknown-user") == 1
    assert value(text, "crossrec_request_seconds_count", endpoint=at, tenant="default") == 5
    assert value(text, "crossrec_lists_total", kind="user") == 4
    assert value(text, "crossrec_lists_total", kind="audience") == 1
    items = [item for answer in lists for item in answer["items"]]
    assert value(text, "crossrec_items_total") == len(items) == 15
    assert value(text, "crossrec_cross_items_total") == sum(item["cross"] for item in items)
    assert value(text, "crossrec_cold_items_total") == sum(item["cold"] for item in items)
    assert value(text, "crossrec_shortfalls_total") >= 1
    assert value(text, "crossrec_candidates_count") == 4
    assert value(text, "crossrec_step_seconds_count", step="reasons") == 4
    assert value(text, "crossrec_questions_running") == 0
    assert value(text, "crossrec_catalogue_items") == n_items
    receipt = lists[0]["receipt"]
    labels = {name: receipt[name] for name in ("generation", "recipe", "blend")}
    assert value(text, "crossrec_generation_info", tenant="default", **labels) == 1


def test_no_label_names_anybody(app) -> None:
    rec = next(iter(app.state.service.tenants)).recommender
    user_id, item_id = rec.generation.users.ids[0], rec.catalogue.ids[0]
    with client_of(app) as client:
        client.post("/v1/recommendations", json={"user_id": user_id})
        client.get("/v1/item", params={"item_id": item_id})
        client.get(f"/{user_id}/{item_id}")
        text = client.get("/metrics").text

    said = {value for _, labels in samples(text) for _, value in labels}
    assert not said & {user_id, item_id, f"/{user_id}/{item_id}"}
    names = {name for _, labels in samples(text) for name, _ in labels}
    assert names <= {
        *("tenant", "endpoint", "status", "type", "step", "kind", "worker", "le"),
        *("generation", "recipe", "blend"),
    }


def test_workers_tell_of_one_another(app, tmp_path: Path) -> None:
    service = app.state.service
    one, two = (Metrics(service.tenants, service.work, tmp_path) for _ in range(2))
    one.lists.labels("default", "user").inc(3)
    two.lists.labels("default", "user").inc(4)
    one.text()

    text = two.text().decode()

    assert value(text, "crossrec_lists_total") == 7
    assert value(text, "crossrec_lists_total", worker="0") == 3
    assert value(text, "crossrec_lists_total", worker="1") == 4
    assert text.count("# TYPE crossrec_lists_total") == 1


def test_a_worker_that_died_is_forgotten_and_replaced(app, tmp_path: Path) -> None:
    service = app.state.service
    dead, living = (Metrics(service.tenants, service.work, tmp_path) for _ in range(2))
    dead.text()
    dead._place._lock.release()  # as the system does for a process that ends
    long_ago = time.time() - FORGOTTEN - 1
    os.utime(tmp_path / "worker-0.json", (long_ago, long_ago))

    assert value(living.text().decode(), "crossrec_questions_running") == 0
    assert {dict(labels).get("worker") for _, labels in samples(living.text().decode())} == {
        "1",
        None,
    }
    another = Metrics(service.tenants, service.work, tmp_path)
    another.text()
    assert sorted(path.name for path in tmp_path.glob("*.json")) == [
        "worker-0.json",
        "worker-1.json",
    ]


def test_what_a_worker_has_is_written_while_it_runs(service_index: Path, tmp_path: Path) -> None:
    options = ServiceOptions(tenants={"default": service_index})
    with client_of(create_app(options, tmp_path)) as client:
        assert client.get("/healthz").status_code == 200
        until = time.monotonic() + 10
        while not list(tmp_path.glob("worker-0.json")) and time.monotonic() < until:
            time.sleep(0.01)
        assert list(tmp_path.glob("worker-*.json"))

    assert not list(tmp_path.glob("worker-*.json"))


def of_both(index: Path, folder: Path, **more) -> ServiceOptions:
    """Of two tenants, who need keys."""
    add_key(folder / "keys.json", "one", tenant="one")
    both = {"one": index, "two": index}
    return ServiceOptions(tenants=both, keys=folder / "keys.json", **more)


def test_a_tenant_sees_its_own(service_index: Path, tmp_path: Path) -> None:
    app = create_app(of_both(service_index, tmp_path))
    metrics = app.state.service.metrics
    for tenant in ("one", "two"):
        metrics.lists.labels(tenant, "user").inc()

    everything, own = metrics.text().decode(), metrics.text("one").decode()

    assert value(everything, "crossrec_lists_total") == 2
    assert value(own, "crossrec_lists_total") == 1
    assert "two" not in own
    app.state.service.tenants.close()


def test_open_metrics_are_everybodys(service_index: Path, tmp_path: Path) -> None:
    options = of_both(service_index, tmp_path, metrics=MetricsOptions(open=True))
    with client_of(create_app(options)) as client:
        text = client.get("/metrics").text

    assert value(text, "crossrec_generation_info") == 2


def test_a_broken_index_takes_the_others_metrics_not_down(
    service_index: Path, tmp_path: Path
) -> None:
    add_key(tmp_path / "keys.json", "one", tenant="one")
    tenants = {"one": service_index, "broken": tmp_path}
    options = ServiceOptions(tenants=tenants, keys=tmp_path / "keys.json",
                             metrics=MetricsOptions(open=True))  # fmt: skip
    with client_of(create_app(options)) as client:
        told = client.get("/metrics")

    assert told.status_code == 200
    assert value(told.text, "crossrec_index_up", tenant="one") == 1
    assert ("crossrec_index_up", (("tenant", "broken"),)) in samples(told.text)
    assert value(told.text, "crossrec_index_up", tenant="broken") == 0
    assert value(told.text, "crossrec_generation_info", tenant="one") == 1
    assert value(told.text, "crossrec_generation_info", tenant="broken") == 0


def test_every_metric_is_documented(app) -> None:
    page = (ROOT / "docs" / "watching.md").read_text()
    documented = set(re.findall(r"^\| `(crossrec_\w+)`", page, re.MULTILINE))
    there = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in text_string_to_metric_families(app.state.service.metrics.text().decode())
        if family.name.startswith("crossrec_")
    }

    assert documented == there
