"""The short forms of `scripts/bench openapi` and `scripts/bench tenants`."""

from __future__ import annotations

from pathlib import Path

from service.benches import asked
from service.tenants import NAMES, mixed

from crossrec_llm.service.keys import Keys


def test_no_question_is_a_bug(service_index: Path, tmp_path: Path) -> None:
    found = asked(service_index, tmp_path / "index", 400, seed=0)

    assert found.cases == 400
    assert not found.examples
    assert found.failed == found.other_errors == found.other_schemas == 0
    assert found.statuses[200] > 40, "some are answered"
    assert found.statuses[422] > 40, "some are refused"


def test_nothing_of_a_tenant_is_told_to_another(service_index: Path, tmp_path: Path) -> None:
    found = mixed(service_index, tmp_path, 400)

    assert found.crossed == []
    assert found.wrong == []
    assert {200, 404} <= found.statuses.keys() <= {200, 404, 410, 422}
    assert found.operations["/people"]
    assert found.operations["exposures"]
    assert found.operations["recommendations of another"]


def test_a_cross_read_would_be_seen(service_index: Path, tmp_path: Path, monkeypatch) -> None:
    from crossrec_llm.service import gate
    from crossrec_llm.service.tenants import Caller, Tenants

    known = gate.known

    def confused(secret: str, keys: Keys, tenants: Tenants) -> Caller | None:
        found = known(secret, keys, tenants)
        assert found is not None
        return Caller(tenants[NAMES[0]], found.scopes, found.name)

    monkeypatch.setattr(gate, "known", confused)
    assert mixed(service_index, tmp_path, 20).crossed
