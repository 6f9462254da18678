"""Builds with and without a fitted blend, and what happens when only the answering changes."""

from __future__ import annotations

import hashlib

import pytest

from crossrec_llm import Recommender, builder, drafting, origins
from crossrec_llm.answering import Situation, Tuned, TunedBlend
from crossrec_llm.builder import build, tune
from crossrec_llm.errors import IndexMissing, StoreError
from crossrec_llm.generation import Generation
from crossrec_llm.kept import open_chroma
from crossrec_llm.recipe import Recipe
from crossrec_llm.store import ChromaStore, Index, Reachability
from crossrec_llm.training import TuneOptions
from tests.store.conftest import chroma_server  # noqa: F401

pytestmark = pytest.mark.model

FIGURES = {"people": 50, "ndcg@10 default": 0.1, "ndcg@10 kept": 0.2}
FITTED = TunedBlend(
    {"user": Tuned(Situation({"popularity": 1.0}, ("popularity",)), figures=FIGURES)},
    {"cross": "no better"},
)
WHY = "people to fit it on, at least 200 needed"


@pytest.fixture
def files(shop_files):
    return shop_files / "items.csv", shop_files / "interactions.csv"


@pytest.fixture
def fits(monkeypatch):
    """How often a blend is fitted; what comes out is FITTED."""
    options = []

    def fit_blend(*_, **given):
        options.append(given.get("options"))
        return FITTED

    for module in (builder, drafting):
        monkeypatch.setattr(module, "fit_blend", fit_blend)
    return options


@pytest.fixture
def no_work(monkeypatch, fits):
    """Nothing may be read, encoded or fitted."""
    monkeypatch.setattr(origins, "read_tables", None)
    monkeypatch.setattr(drafting.Encoder, "encode_documents", None)
    monkeypatch.setattr(Generation, "fit", None)
    yield
    assert not fits


def parts_of(index):
    """sha256 of each file of the active generation but what says how it answers, and Chroma's."""
    with Index.open(index) as opened:
        folder = opened.generation.folder
    told = {"recipe.json", "blend.json", "generation.json"}
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in told and "chroma" not in path.parts
    }


def answer(index, user_id="u1"):
    with Recommender.open(index) as recommender:
        return [r.item_id for r in recommender.for_user(user_id)]


def blend_of(index):
    with Index.open(index) as opened:
        return Generation.load(opened.generation).tuned


def active(index):
    with Index.open(index) as opened:
        return opened.manifest.active, sorted(opened.manifest.generations)


# -- build ---------------------------------------------------------------------------------------


def test_a_build_fits_unless_the_recipe_says_no(files, tmp_path, fits):
    untuned = Recipe.from_dict({"blend": {"tune": False}})
    without = build(*files, tmp_path / "without", recipe=untuned)
    assert without.blend == blend_of(tmp_path / "without") == TunedBlend()
    assert not fits
    tuned = build(*files, tmp_path / "with")
    assert len(fits) == 1
    assert tuned.blend == blend_of(tmp_path / "with") == FITTED
    assert tuned.to_dict()["blend"]["user"]["weights"] == {"popularity": 1.0}
    assert parts_of(tmp_path / "with") == parts_of(tmp_path / "without")
    assert answer(tmp_path / "with") != answer(tmp_path / "without")


def test_the_shop_has_too_few_people_to_fit_on(shop_index):
    found = blend_of(shop_index)
    assert not found.situations
    assert all(why.endswith(WHY) for why in found.left_out.values())
    assert set(found.left_out) == {"user", "cross"}


# -- only the answering changes ------------------------------------------------------------------

POPULAR = {"weights": {"popularity": 1}, "sources": ["popularity"]}


@pytest.mark.parametrize(
    "changed",
    [
        {"blend": {"user": POPULAR}},
        {"blend": {"tune": False, "user": POPULAR}},
        {"answering": {"diversity": 0.9}},
    ],
    ids=["weights", "weights without a fit", "diversity"],
)
@pytest.mark.usefixtures("no_work")
def test_new_settings_of_answers_need_no_fit(changed, files, index):
    before, was, parts = answer(index), active(index)[0], parts_of(index)
    recipe = Recipe.from_dict(changed)
    report = build(*files, index, recipe=recipe)
    assert (report.report, report.unchanged, report.encoded) == (None, False, 0)
    assert list(report.seconds) == ["prepare", "publish"]
    assert active(index) == (report.generation, [was, report.generation])
    assert parts_of(index) == parts
    assert answer(index) != before
    with Recommender.open(index) as recommender:
        assert recommender.recipe == recipe
        assert recommender.receipt.recipe == recipe.fingerprint[:12]
        assert len(recommender.like("chess")) == 10
        assert recommender.generation.chroma_search("items")
    again = build(*files, index, recipe=recipe)
    assert again.unchanged
    assert again.generation == report.generation


@pytest.mark.usefixtures("no_work")
def test_new_settings_of_the_search_are_used(files, index):
    recipe = Recipe.from_dict({"search": {"exact_below": 0}})
    before = answer(index)
    assert build(*files, index, recipe=recipe).report is None
    with Recommender.open(index) as recommender:
        assert recommender.recipe.search.exact_below == 0
        assert [r.item_id for r in recommender.for_user("u1")] == before


@pytest.mark.usefixtures("no_work")
def test_a_set_situation_is_said_to_be_set(files, index):
    build(*files, index, recipe=Recipe.from_dict({"blend": {"user": POPULAR}}))
    found = blend_of(index)
    assert found.left_out["user"] == "set by the recipe"
    assert found.left_out["cross"].endswith(WHY)


def test_without_a_fit_nothing_that_was_fitted_stays(files, index, fits):
    """The same files and recipe give the same answers, whatever the index was before."""
    before = answer(index)
    tune(index)
    assert answer(index) != before
    report = build(*files, index, recipe=Recipe.from_dict({"blend": {"tune": False}}))
    assert report.report is None
    assert blend_of(index) == TunedBlend()
    assert answer(index) == before
    assert len(fits) == 1


def test_what_was_never_fitted_is_fitted_when_a_recipe_asks_for_it(files, index, fits):
    for blend in ({"tune": False}, {"user": POPULAR}):
        build(*files, index, recipe=Recipe.from_dict({"blend": blend}))
        fits.clear()
        report = build(*files, index)
        assert len(fits) == 1
        assert report.encoded == 0
        assert report.report is not None
        assert blend_of(index) == FITTED


def test_a_damaged_part_is_not_published_again(files, index):
    with Index.open(index) as opened:
        (opened.generation.folder / "users.npy").write_bytes(b"")
    report = build(*files, index, recipe=Recipe.from_dict({"answering": {"diversity": 0.9}}))
    assert report.report is not None
    assert len(answer(index)) == 10


# -- tune ----------------------------------------------------------------------------------------


def test_tuning_publishes_the_same_parts_with_another_blend(files, index, fits):
    before, was, parts = answer(index), active(index)[0], parts_of(index)
    options = TuneOptions(n_user=7, n_cross=3, seed=5)
    assert tune(index, options=options) == FITTED
    assert fits == [options]
    now, kept = active(index)
    assert kept == [was, now]
    assert parts_of(index) == parts
    assert blend_of(index) == FITTED
    assert answer(index) != before
    with Index.open(index) as opened, Recommender.open(index) as recommender:
        assert opened.generation.parts["recipe"] == recommender.recipe.fingerprint
        assert opened.ledger.content == opened.generation.parts["records"]
        assert len(recommender.audience("p-chess-set")) > 0
        assert recommender.generation.chroma_search("items")

    again = build(*files, index)
    assert (again.unchanged, again.generation) == (True, now)
    assert blend_of(index) == FITTED
    tune(index, options=options)
    assert active(index) == (now, kept)
    assert len(fits) == 2


def test_an_index_built_without_a_fit_asks_for_one_from_then_on(files, tmp_path, fits):
    index, untuned = tmp_path / "index", Recipe.from_dict({"blend": {"tune": False}})
    build(*files, index, recipe=untuned)
    tune(index)
    with Recommender.open(index) as recommender:
        assert recommender.recipe == Recipe()
    assert build(*files, index).unchanged
    assert len(fits) == 1


def test_tuning_keeps_what_a_new_answering_recipe_changes(files, index, fits):
    tune(index)
    report = build(*files, index, recipe=Recipe.from_dict({"answering": {"diversity": 0.9}}))
    assert report.report is None
    assert blend_of(index) == FITTED
    assert len(fits) == 1


def test_tuning_the_shop_itself_changes_nothing(index):
    """The same reasons as the build found, so there is nothing to publish."""
    was = active(index)
    found = tune(index)
    assert all(why.endswith(WHY) for why in found.left_out.values())
    assert active(index) == was


def test_there_has_to_be_an_index_to_tune(tmp_path):
    with pytest.raises(IndexMissing, match="crossrec build"):
        tune(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


# -- on a server ---------------------------------------------------------------------------------


@pytest.mark.server
@pytest.mark.usefixtures("fits")
def test_a_server_is_filled_again(files, tmp_path, chroma_server, monkeypatch):  # noqa: F811
    index, written = tmp_path / "index", []
    # Texts longer than that are shortened, whenever they are written.
    on_server = {"store": {"url": chroma_server}, "encoder": {"max_tokens": 24}}
    write = ChromaStore.write

    def spy(self, name, ids, vectors, documents=None, *rest, **named):
        if documents is not None:
            written.append(documents)
        write(self, name, ids, vectors, documents, *rest, **named)

    monkeypatch.setattr(ChromaStore, "write", spy)
    build(*files, index, recipe=Recipe.from_dict({**on_server, "blend": {"tune": False}}))
    before, texts = answer(index), documents(index)
    tune(index)
    assert answer(index) != before
    recipe = Recipe.from_dict({**on_server, "answering": {"diversity": 0.9}})
    assert build(*files, index, recipe=recipe).report is None
    assert documents(index) == texts
    assert build(*files, index, recipe=recipe).unchanged
    with Recommender.open(index) as recommender:
        found, _ = recommender.generation.chroma_search("items").nearest(
            recommender.generation.vectors[:5], 1
        )
        assert found[:, 0].tolist() == [0, 1, 2, 3, 4]
    items, users, *others = written
    assert others == 2 * [items, users]

    was = active(index)
    monkeypatch.setattr(drafting, "reachability", lambda *_, **__: Reachability(90, (3,), 1.0))
    with pytest.raises(StoreError, match="1 do not find themselves"):
        build(*files, index, recipe=Recipe.from_dict(on_server))
    assert active(index) == was


def documents(index):
    """How many items, texts and users the active generation has on the server."""
    with Index.open(index) as opened:
        stored = opened.generation
    with open_chroma(Generation.load(stored).recipe, stored) as chroma:
        return {name: chroma.count(name) for name in ("items", "texts", "users")}


@pytest.mark.parametrize(("name", "anew"), [("sequence", True), ("popularity", False)])
def test_a_recipe_that_weighs_what_was_not_fitted_has_it_fitted(files, tmp_path, name, anew):
    plain, other = (
        Recipe.from_dict(
            {
                "signals": {"sequence": {"minutes": 1}},
                "blend": {"tune": False, "similar": {"weights": {"text": 1, one: 0.5}}},
            }
        )
        for one in ("neighbours", name)
    )
    build(*files, tmp_path / "index", recipe=plain)
    assert build(*files, tmp_path / "index", recipe=other).refitted == anew
