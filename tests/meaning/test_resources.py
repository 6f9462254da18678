from __future__ import annotations

from pathlib import Path

import pytest

from crossrec_llm import resources
from crossrec_llm.errors import CrossrecError


def test_a_checkout_has_its_templates_at_the_top():
    folder = resources.default_folder("prompts")
    assert {"item.jinja", "history.jinja", "query.jinja", "README.md"} <= {
        p.name for p in folder.iterdir()
    }


def test_a_wheel_has_them_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / "crossrec_llm"
    (package / "_data" / "index").mkdir(parents=True)
    (tmp_path / "index").mkdir()  # somebody else's, beside the package
    monkeypatch.setattr(resources, "__file__", str(package / "resources.py"))
    assert resources.default_folder("index") == package / "_data" / "index"


def test_neither_is_an_incomplete_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(resources, "__file__", str(tmp_path / "crossrec_llm" / "resources.py"))
    with pytest.raises(CrossrecError, match="reinstall"):
        resources.default_folder("prompts")
