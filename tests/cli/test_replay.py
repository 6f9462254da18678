"""`replay` and `compare`: an answer again, and two answers side by side."""

from __future__ import annotations

import json
import re

import pytest

from crossrec_llm import build

pytestmark = pytest.mark.model


@pytest.fixture(scope="session")
def other_index(shop_files, tmp_path_factory):
    """The shop after a day: an item less, and one event more of u1."""
    folder = tmp_path_factory.mktemp("other")
    items = (shop_files / "items.csv").read_text().splitlines()
    log = (shop_files / "interactions.csv").read_text().splitlines()
    kept = [line for line in log if "p-chess-set" not in line]
    (folder / "items.csv").write_text("\n".join(x for x in items if '"p-chess-set"' not in x))
    (folder / "log.csv").write_text("\n".join([*kept, '"u1","b-roses",1.74e9,"purchase",1']))
    build(folder / "items.csv", folder / "log.csv", folder / "index")
    return folder / "index"


@pytest.mark.parametrize(
    "words",
    [
        ["user", "u1", "-k", "4", "--cross-share", "0.5", "--price-max", "50"],
        ["like", "chess endgmes", "--user", "u1", "--liked", "b-roses", "--since", "2020-01-01"],
        ["similar", "p-chess-computer", "--mode", "together"],
    ],
)  # fmt: skip
def test_what_json_printed_is_reproduced(words, crossrec, tmp_path):
    (tmp_path / "r.json").write_text(crossrec(*words, "--json")[1])
    code, out, err = crossrec("replay", tmp_path / "r.json")
    assert (code, err) == (0, "")
    assert out.startswith("reproduced: the same ")
    document = json.loads(crossrec("replay", tmp_path / "r.json", "--json")[1])
    assert document["reproduced"] is True
    # Not the scores: the last digits of a sum depend on where in memory it is made.
    before, after = json.loads((tmp_path / "r.json").read_text()), document["answer"]
    assert after["query"] == before["query"]
    assert after["receipt"] == before["receipt"]
    assert [one["item_id"] for one in after["items"]] == [one["item_id"] for one in before["items"]]


def test_another_generation_and_history_are_named(crossrec, other_index, tmp_path):
    answer = crossrec("user", "u1", "--include-seen", "--json", "-k", 50)[1]
    (tmp_path / "r.json").write_text(answer)
    code, out, _ = crossrec("replay", tmp_path / "r.json", "--index", other_index)
    assert code == 1
    assert out.startswith("not reproduced: ")
    assert re.search(r"^  generation: 0001-\w+ then, 0001-\w+ now$", out, re.MULTILINE)
    assert re.search(r"^  history of the person: \w{12} then, \w{12} now$", out, re.MULTILINE)
    assert "not in the catalogue any more: p-chess-set\n" in out
    assert re.search(r"^overlap@\d+ 0\.\d+: \d+ moved, \d+ new, \d+ gone$", out, re.MULTILINE)
    code, out, _ = crossrec("replay", tmp_path / "r.json", "--index", other_index, "--json")
    document = json.loads(out)
    assert (code, document["reproduced"]) == (1, False)
    assert "p-chess-set" in {place["item_id"] for place in document["gone"]}


def test_a_question_that_cannot_be_asked_any_more_is_not_reproduced(
    crossrec, other_index, tmp_path
):
    (tmp_path / "r.json").write_text(crossrec("similar", "p-chess-set", "--json")[1])
    code, out, _ = crossrec("replay", tmp_path / "r.json", "--index", other_index)
    assert code == 1
    assert "cannot be asked any more: no item 'p-chess-set'" in out


def test_two_settings_side_by_side(crossrec):
    code, out, err = crossrec("compare", "u1", "-k", 4, "--with", "--cross none --diversity 0.3")
    assert (code, err) == (0, "")
    assert out.startswith("For u1: first as asked, then --cross none --diversity 0.3\n")
    assert re.search(r"^overlap@4 0\.00: 0 moved, 4 new, 4 gone$", out, re.MULTILINE)
    document = json.loads(
        crossrec("compare", "u1", "-k", 4, "--json", "--with", "--cross only --brand Tempo")[1]
    )
    alone = json.loads(crossrec("user", "u1", "-k", 4, "--json")[1])
    second = ["-k", "4", "--cross", "only", "--brand", "Tempo", "--json"]
    assert document["before"] == alone
    assert document["after"] == json.loads(crossrec("user", "u1", *second)[1])
    ids = [{entry["item_id"] for entry in document[at]["items"]} for at in ("before", "after")]
    assert {place["item_id"] for place in document["new"]} == ids[1] - ids[0]
    assert {place["item_id"] for place in document["gone"]} == ids[0] - ids[1]


def test_options_of_the_second_come_on_top(crossrec):
    words = ("compare", "u1", "-k", 3, "--category", "Books", "--with", "--price-max 20 -k 5")
    document = json.loads(crossrec(*words, "--json")[1])
    assert document["after"]["query"]["filter"] == {"category": ["Books"], "price_max": 20}
    assert [document[at]["query"]["k"] for at in ("before", "after")] == [3, 5]


def test_two_indexes_side_by_side(crossrec, other_index):
    code, out, _ = crossrec("compare", "u1", "--other-index", other_index, "--json")
    document = json.loads(out)
    assert code == 0
    one, two = (document[at]["receipt"] for at in ("before", "after"))
    assert one["generation"] != two["generation"]
    assert one["history"] != two["history"]
    of_the_history = ("home", "interests")
    asked = [
        {key: value for key, value in document[at]["query"].items() if key not in of_the_history}
        for at in ("before", "after")
    ]
    assert asked[0] == asked[1]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], 'give --with "OPTIONS" or --other-index FOLDER'),
        (["--with", "--index x"], "--index does not belong there"),
        (["--with", "--no-such 3"], "--no-such"),
        (["--with", "--cross 'only"], "No closing quotation"),
        (["--with", "u2"], "unexpected"),
        (["--with", "-k 0"], "k must be 1 or more"),
        (["--cross-share", "0.5", "--with", "--cross only"], "one of the two"),
        (["--other-index", "no/such/index"], "crossrec build"),
    ],
)
def test_a_comparison_that_makes_no_sense_is_one_clear_line(words, named, crossrec):
    code, out, err = crossrec("compare", "u1", *words)
    assert (code, out) == (2, "")
    assert named in err
    assert err.startswith("crossrec: ")
    assert err.count("\n") == 1


def test_a_file_that_is_no_answer_is_one_clear_line(crossrec, tmp_path):
    (tmp_path / "r.json").write_text(crossrec("audience", "p-chess-set", "--json")[1])
    code, out, err = crossrec("replay", tmp_path / "r.json")
    assert (code, out) == (2, "")
    assert "'audience' answer cannot be replayed" in err
    assert err.count("\n") == 1
