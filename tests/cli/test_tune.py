from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

from crossrec_llm import builder, drafting
from crossrec_llm.answering import Situation, Tuned, TunedBlend
from crossrec_llm.cli.main import app
from crossrec_llm.store import IndexWriter
from crossrec_llm.training import THOROUGH, asked_enough
from crossrec_llm.training.blending import CHOICES
from crossrec_llm.training.situations import too_few

pytestmark = pytest.mark.model

WHY = "people to fit it on, at least 200 needed"
FIGURES = {
    "people": 1234,
    "ndcg@10 default": 0.1,
    "ndcg@10 kept": 0.25,
    "weights kept": True,
    "cold people": 321,
    "cold ndcg@10 default": 0.01,
    "cold ndcg@10 weighted": 0.02,
    "cost default": 0.001,
    "cost weighted": 0.015,
    "cost allowed": 0.02,
    "cold weights kept": True,
}
FITTED = TunedBlend(
    {"user": Tuned(Situation({"popularity": 1.0, "text": 0.5}, ("text",)), "trees", 9, FIGURES)},
    {"cross": "no better"},
)
LINES = [
    "blend for user: fitted weights and trees, ndcg@10 0.100 -> 0.250 on 1,234 people not fitted "
    "on (popularity 1, text 0.5)",
    "blend for user, new items: fitted weights, ndcg@10 0.010 -> 0.020 on 321 people, at a cost of "
    "1.5% for other items (before 0.1%, allowed 2.0%)",
    "blend for cross: defaults, no better",
]


@pytest.fixture
def fits(monkeypatch):
    """What each fit was asked for; what comes out is FITTED."""
    options = []

    def fit_blend(*_, **given):
        options.append(given.get("options"))
        return FITTED

    for module in (builder, drafting):
        monkeypatch.setattr(module, "fit_blend", fit_blend)
    return options


def crossrec(*words):
    """Runs the command; gives (exit code, stdout, stderr)."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def test_the_shop_keeps_its_defaults_and_says_why(index):
    code, out, err = crossrec("tune", "--index", index)
    assert (code, err) == (0, "")
    *lines, end = out.splitlines()
    assert end.endswith("nothing was published")
    assert [line.split(": ")[0] for line in lines] == ["blend for user", "blend for cross"]
    assert all(line.split(": ")[1].startswith("defaults, ") for line in lines)
    assert all(line.endswith(WHY) for line in lines)
    _, shown, _ = crossrec("info", "--index", index)
    assert all(line in shown for line in lines)

    code, out, _ = crossrec("tune", "--index", index, "--json")
    assert code == 0
    found = json.loads(out)
    assert found["generation"].startswith("0001-")
    assert found["published"] is False
    assert {name: list(one) for name, one in found["blend"].items()} == {
        "user": ["left_out"],
        "cross": ["left_out"],
    }


def test_what_was_fitted_is_told_and_shown_from_then_on(index, fits):
    code, out, _ = crossrec("tune", "--index", index)
    assert code == 0
    assert out.splitlines()[:-1] == LINES
    assert out.endswith("this blend answers now\n")
    assert fits == [THOROUGH]
    _, shown, _ = crossrec("info", "--index", index)
    assert all(line in shown for line in LINES)
    document = json.loads(crossrec("info", "--index", index, "--json")[1])
    assert document["blend"] == json.loads(crossrec("tune", "--index", index, "--json")[1])["blend"]
    assert document["blend"]["user"]["trees"] is True
    assert document["blend"]["cross"] == {"left_out": "no better"}


def test_options_reach_the_fit(index, fits):
    assert crossrec("tune", "--index", index, "--people", 50, "--seed", 3)[0] == 0
    (options,) = fits
    assert (options.n_user, options.n_cross, options.seed) == (50, 25, 3)


@pytest.mark.usefixtures("fits")
def test_too_few_people_take_no_fitted_blend_away(index, monkeypatch):
    crossrec("tune", "--index", index)
    nothing = TunedBlend(left_out=dict.fromkeys(CHOICES, too_few(50)))
    monkeypatch.setattr(builder, "fit_blend", lambda *_, **__: nothing)
    code, out, _ = crossrec("tune", "--index", index, "--people", 50)
    assert code == 0
    assert "generation 0002-" in out
    assert "too few people could be asked" in out
    shown = crossrec("info", "--index", index)[1]
    assert all(line in shown for line in LINES)


@pytest.mark.parametrize(
    ("situations", "left_out", "enough"),
    [
        ((), {"user": too_few(5), "cross": too_few(0)}, False),
        ((), {"user": "set by the recipe", "cross": too_few(0)}, False),
        ((), {"user": "no better", "cross": too_few(0)}, True),
        (("cross",), {"user": too_few(5)}, False),
        (("user",), {"cross": too_few(5)}, True),
        ((), {"user": "no better", "cross": "no better"}, True),
    ],
)
def test_who_has_to_be_asked(situations, left_out, enough):
    tuned = TunedBlend(dict.fromkeys(situations, FITTED.situations["user"]), left_out)
    assert asked_enough(tuned, FITTED) is enough


def test_a_build_without_a_fit_has_defaults(index, shop_files, fits):
    files = ("--items", shop_files / "items.csv", "--interactions", shop_files / "interactions.csv")
    crossrec("tune", "--index", index)
    code, out, _ = crossrec("build", *files, "--index", index, "--no-tune")
    assert code == 0
    assert "has the same parts, new settings" in out
    _, shown, _ = crossrec("info", "--index", index)
    assert re.search(r"^blend +.*defaults, not fitted .*--no-tune.*`crossrec tune`", shown, re.M)
    code, out, _ = crossrec("build", *files, "--index", index, "--tune")
    assert code == 0
    assert set(LINES) <= set(out.splitlines())
    assert "0 texts encoded" in out
    assert len(fits) == 2


def test_a_number_of_people_that_makes_no_sense(index):
    code, out, err = crossrec("tune", "--index", index, "--people", -5)
    assert (code, out) == (2, "")
    assert "people, not of -5" in err


def test_without_an_index_and_beside_another_writer(index, tmp_path):
    code, out, err = crossrec("tune", "--index", tmp_path / "nothing")
    assert (code, out) == (2, "")
    assert "crossrec build" in err
    with IndexWriter.open(index):
        code, out, err = crossrec("tune", "--index", index)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
