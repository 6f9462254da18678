from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from crossrec_llm import Recipe, Recommender, build
from crossrec_llm.errors import IndexMismatch
from crossrec_llm.meaning import Canaries, Encoder, EncoderOptions, VectorCache, environment
from crossrec_llm.meaning import encoder as encoder_module
from crossrec_llm.meaning.canaries import LEAST_COSINE, TEXTS
from tests.small_index import build_tiny

Tiny = tuple[Path, Recipe]


def turned(vectors: np.ndarray, cosine: float) -> np.ndarray:
    """Unit rows that have this cosine to the given ones."""
    other = np.roll(vectors, 1, axis=1)
    other -= np.einsum("ij,ij->i", other, vectors)[:, None] * vectors
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    out: np.ndarray = (cosine * vectors + np.sqrt(1 - cosine**2) * other).astype(np.float32)
    return out


@pytest.fixture
def drifting(monkeypatch: pytest.MonkeyPatch):
    """Has every encoder give vectors that are off by a cosine, as a changed library would."""
    rows = Encoder._rows
    monkeypatch.setattr(encoder_module, "_SEEN", set())

    def drift(cosine: float) -> None:
        monkeypatch.setattr(
            Encoder, "_rows", lambda self, *asked: turned(rows(self, *asked), cosine)
        )
        monkeypatch.setattr(encoder_module, "_SEEN", set())

    return drift


def test_there_are_32_of_them_and_no_two_are_the_same() -> None:
    assert len(set(TEXTS)) == len(TEXTS) == 32
    assert len({len(text) for text in TEXTS}) > 20


def test_saved_and_loaded(tmp_path: Path) -> None:
    assert Canaries.load(tmp_path) is None
    Canaries(np.eye(32, dtype=np.float32), environment()).save(tmp_path)
    again = Canaries.load(tmp_path)
    assert again is not None
    np.testing.assert_array_equal(again.vectors, np.eye(32))
    assert again.environment == environment()
    assert environment()["torch"]


@pytest.mark.parametrize(("cosine", "refused"), [(0.99995, False), (0.9998, True)])
def test_the_border(cosine: float, refused: bool) -> None:
    vectors = np.eye(32, dtype=np.float32)
    canaries = Canaries(vectors, {**environment(), "torch": "1.0"})
    assert (cosine < LEAST_COSINE) is refused
    if not refused:
        return canaries.require(turned(vectors, cosine), "mini")
    with pytest.raises(IndexMismatch, match=r"0\.9998.*torch 1\.0 then.*crossrec build") as caught:
        canaries.require(turned(vectors, cosine), "mini")
    assert "\n" not in str(caught.value)
    with pytest.raises(IndexMismatch, match=r"0\.00000"):
        canaries.require(np.eye(16, dtype=np.float32), "mini")


def test_an_encoder_is_held_to_what_a_cache_has(
    model_folder: Path, tmp_path: Path, drifting
) -> None:
    options = EncoderOptions(model=str(model_folder))
    with VectorCache.open(tmp_path / "vectors.cache", 32) as cache:
        made = Encoder(options).canaries(cache)
        again = Encoder(options).canaries(cache)
        np.testing.assert_array_equal(made.vectors, again.vectors)
        drifting(0.999)
        other = Encoder(options)
        other.canaries(cache)
        with pytest.raises(IndexMismatch, match="no longer gives the vectors"):
            other.encode_documents(["a red shoe"], cache=cache)
        cache.clear()
        assert len(cache) == 0
        other.expect(None)
        other.canaries(cache)
        assert len(cache) == 32


def test_a_loaded_encoder_is_asked_at_once_and_only_once(model_folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(encoder_module, "_SEEN", set())
    encoder = Encoder(EncoderOptions(model=str(model_folder)))
    encoder.encode_query("a")
    vectors = encoder._encode(list(TEXTS), "passage: ", "document")
    with pytest.raises(IndexMismatch):
        encoder.expect(Canaries(turned(vectors, 0.99), environment()))
    calls = []
    rows = Encoder._rows
    monkeypatch.setattr(Encoder, "_rows", lambda *asked: calls.append(1) or rows(*asked))
    for _ in range(3):
        encoder.expect(Canaries(vectors, environment()))
    assert len(calls) == 2, "the short ones and the long ones"


def test_an_index_refuses_an_encoder_that_drifted_until_it_is_built_again(
    tiny: Tiny, drifting
) -> None:
    index, recipe = tiny
    with Recommender.open(index) as recommender:
        assert len(recommender.like("a red shoe")) == 10
    drifting(0.999)
    with Recommender.open(index) as recommender:
        with pytest.raises(IndexMismatch, match=r"one has a cosine of 0\.99900"):
            recommender.like("a red shoe")
        assert len(recommender.for_user("u0")) == 10, "which needs no encoder"
    made = next((index / "generations").iterdir()) / "canaries.json"
    assert json.loads(made.read_text()) == environment()
    build_tiny(index, recipe)  # the same versions: nothing to look into
    seal = made.with_name("generation.json")
    _pretend_other_versions(index, made, seal)
    report = build_tiny(index, recipe)
    assert (report.unchanged, report.from_cache) == (False, 0)
    assert report.encoded == report.items
    with Recommender.open(index) as recommender:
        assert len(recommender.like("a red shoe")) == 10
    assert build(index=index).unchanged


def test_other_versions_that_give_the_same_vectors_change_nothing(tiny: Tiny) -> None:
    index, recipe = tiny
    made = next((index / "generations").iterdir()) / "canaries.json"
    _pretend_other_versions(index, made, made.with_name("generation.json"))
    assert build_tiny(index, recipe).unchanged


def _pretend_other_versions(index: Path, made: Path, seal: Path) -> None:
    """As if the generation had been built with another torch."""
    import hashlib

    from crossrec_llm.store import GenerationRecord, Manifest

    made.write_text(json.dumps({**environment(), "torch": "1.0"}, sort_keys=True))
    sealed = json.loads(seal.read_text())
    sealed["files"]["canaries.json"] = hashlib.sha256(made.read_bytes()).hexdigest()
    seal.write_text(json.dumps(sealed))
    manifest = Manifest.read(index / "manifest.json")
    old = manifest.current
    digest = hashlib.sha256(seal.read_bytes()).hexdigest()
    record = GenerationRecord(old.parts, old.counts, digest, old.change, old.built)
    Manifest(manifest.active, {manifest.active: record}).write(index / "manifest.json")
