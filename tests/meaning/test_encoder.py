from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from crossrec_llm.errors import ModelError
from crossrec_llm.meaning import Encoder, EncoderOptions, VectorCache

from .conftest import WIDTH, FakeModel, write_json, write_model, write_tokenizer

Make = Callable[..., tuple[Encoder, FakeModel]]
TEXTS = [f"{'word ' * (i % 7)}{chr(97 + i % 26)} {i * i % 31}" for i in range(90)]


def test_equal_texts_once_in_the_order_asked(fake_encoder: Make):
    encoder, model = fake_encoder(batch_size=2)
    vectors = encoder.encode_documents(["a", "b", "a", "c", "b"])
    assert vectors.shape == (5, WIDTH)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(vectors[[0, 1]], vectors[[2, 4]])
    assert sorted(text for batch in model.batches for text in batch) == ["a", "b", "c"]
    assert (encoder.encoded, encoder.from_cache) == (3, 0)


def test_longest_first_in_whole_batches(fake_encoder: Make):
    encoder, model = fake_encoder(batch_size=8)
    seen: list[tuple[str, int, int]] = []
    encoder.encode_documents(TEXTS, progress=lambda *step: seen.append(step))
    n = len(set(TEXTS))
    assert [len(batch) for batch in model.batches[:-1]] == [8] * (n // 8)
    lengths = encoder.count_tokens([text for batch in model.batches for text in batch])
    assert (np.diff(lengths) <= 0).all()
    assert seen[0] == ("encode", 8, n)
    assert seen[-1] == ("encode", n, n)


def test_the_order_does_not_depend_on_the_input(fake_encoder: Make):
    (first, one), (second, two) = fake_encoder(batch_size=8), fake_encoder(batch_size=8)
    vectors = first.encode_documents(TEXTS)
    np.testing.assert_array_equal(vectors[::-1], second.encode_documents(TEXTS[::-1]))
    assert one.batches == two.batches


def test_no_texts(fake_encoder: Make, tmp_path: Path):
    encoder, model = fake_encoder()
    assert encoder.encode_documents([]).shape == (0, WIDTH)
    with VectorCache.open(tmp_path / "vectors.cache", encoder.dim) as cache:
        assert encoder.encode_documents([], cache=cache).shape == (0, WIDTH)
    assert model.batches == []


def test_only_what_the_cache_lacks(fake_encoder: Make, tmp_path: Path):
    with VectorCache.open(tmp_path / "vectors.cache", WIDTH) as cache:
        encoder, _ = fake_encoder(batch_size=8)
        fresh = encoder.encode_documents(TEXTS, cache=cache)
        again, idle = fake_encoder(batch_size=8)
        np.testing.assert_array_equal(again.encode_documents(TEXTS, cache=cache), fresh)
        assert idle.batches == []
        assert (again.encoded, again.from_cache) == (0, len(set(TEXTS)))
        again.encode_documents([*TEXTS, "new", "newer"], cache=cache)
        assert sorted(idle.batches[0]) == ["new", "newer"]
        other, _ = fake_encoder(max_tokens=40)
        other.encode_documents(TEXTS[:4], cache=cache)
        assert other.encoded == 4


@pytest.mark.parametrize("stop", [0, 1, 5, 11])
def test_a_stopped_run_goes_on_with_the_same_batches(fake_encoder: Make, tmp_path: Path, stop: int):
    whole, model = fake_encoder(batch_size=8)
    expected = whole.encode_documents(TEXTS)
    path = tmp_path / "vectors.cache"
    stopped, partial = fake_encoder(batch_size=8)
    partial.fail_at = stop
    with VectorCache.open(path, WIDTH) as cache, pytest.raises(KeyboardInterrupt):
        stopped.encode_documents(TEXTS, cache=cache)
    restarted, rest = fake_encoder(batch_size=8)
    with VectorCache.open(path, WIDTH) as cache:
        vectors = restarted.encode_documents(TEXTS, cache=cache)
    assert vectors.tobytes() == expected.tobytes()
    assert partial.batches + rest.batches == model.batches


CHILD = """
import hashlib, sys, time
from pathlib import Path
import numpy as np
from crossrec_llm.meaning import Encoder, EncoderOptions, VectorCache

class Slow:
    def encode(self, texts, **arguments):
        for text in texts:
            print(text, flush=True)
        time.sleep(0.01)
        rng = np.random.default_rng(list(hashlib.sha256("\\0".join(texts).encode()).digest()))
        return rng.normal(size=(len(texts), 32)).astype(np.float32)

encoder = Encoder(EncoderOptions(model=sys.argv[1], batch_size=8))
encoder._loaded = Slow()
texts = [f"text {i}" for i in range(400)]
with VectorCache.open(Path(sys.argv[2]), 32) as cache:
    vectors = encoder.encode_documents(texts, cache=cache)
print("done", hashlib.sha256(vectors.tobytes()).hexdigest(), flush=True)
"""


def test_killed_and_started_again(model_folder: Path, tmp_path: Path):
    def run(cache: Path, kill_after: int | None = None) -> list[str]:
        """The lines that the child printed until it was done or killed."""
        command = [sys.executable, "-c", CHILD, str(model_folder), str(cache)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        lines = []
        for line in child.stdout:
            lines.append(line.strip())
            if kill_after is not None and len(lines) == kill_after:
                os.kill(child.pid, signal.SIGKILL)
        child.stdout.close()
        assert child.wait() == (0 if kill_after is None else -signal.SIGKILL)
        return lines

    expected = run(tmp_path / "whole.cache")
    path = tmp_path / "vectors.cache"
    started = run(path, 97) + run(path, 53)
    finished = run(path)
    assert finished[-1] == expected[-1]
    texts = started + finished[:-1]
    # Each kill costs at most the batch that was being computed.
    assert len(set(texts)) == 400
    assert len(texts) <= 400 + 2 * 8


def test_a_text_without_known_words_is_no_zero_row(fake_encoder: Make):
    encoder, model = fake_encoder()
    model.encode = lambda texts, **_: np.zeros((len(texts), WIDTH), np.float32)  # type: ignore[method-assign]
    np.testing.assert_allclose(encoder.encode_documents(["?"]), WIDTH**-0.5, rtol=1e-6)


def test_vectors_that_are_not_numbers_are_refused(fake_encoder: Make):
    encoder, model = fake_encoder()
    model.encode = lambda texts, **_: np.full((len(texts), WIDTH), np.nan)  # type: ignore[method-assign]
    with pytest.raises(ModelError, match="no finite vectors"):
        encoder.encode_query("x")


# -- real models ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(model_folder: Path) -> Encoder:
    return Encoder(EncoderOptions(model=str(model_folder), device="cpu", batch_size=4))


@pytest.mark.model
def test_prompts_are_those_of_sentence_transformers(tiny: Encoder):
    theirs = tiny._model
    texts = ["red shoe", "blue lamp", "a longer text, of more words", "x"]
    documents = theirs.encode_document(texts, normalize_embeddings=True)
    np.testing.assert_allclose(tiny.encode_documents(texts), documents, atol=1e-5)
    query = theirs.encode_query("red shoe", normalize_embeddings=True)
    np.testing.assert_allclose(tiny.encode_query("red shoe"), query, atol=1e-5)
    assert tiny.encode_query("red shoe") @ documents[0] < 0.9999


@pytest.mark.model
def test_what_does_not_fit_is_not_read(tiny: Encoder):
    # limit 48, of which "passage : " takes two.
    assert tiny.tokens.limit == 46
    base = "word " * 44
    inside, outside = base[:-5] + "blue", base + "blue"
    vectors = tiny.encode_documents([base, outside, inside])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)
    assert np.abs(vectors[0] - vectors[2]).max() > 1e-3


@pytest.mark.model
def test_models_that_cannot_be_loaded(tmp_path: Path):
    folder = write_model(tmp_path / "broken")
    (folder / "model.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(ModelError, match="the model broken cannot be loaded"):
        Encoder(EncoderOptions(model=str(folder))).encode_query("x")
    folder = write_model(tmp_path / "fine")
    with pytest.raises(ModelError, match="the model fine cannot be loaded"):
        Encoder(EncoderOptions(model=str(folder), device="abacus")).encode_query("x")


@pytest.mark.model
def test_static_embeddings(tmp_path: Path):
    """Another kind of model: no transformer, no limit, a dim that only the weights tell."""
    from safetensors.numpy import save_file

    vocabulary = write_tokenizer(tmp_path)
    table = np.random.default_rng(0).normal(size=(vocabulary, 24)).astype(np.float32)
    save_file({"embedding.weight": table}, tmp_path / "model.safetensors")
    kind = "sentence_transformers.models.StaticEmbedding"
    write_json(tmp_path / "modules.json", [{"idx": 0, "name": "0", "path": "", "type": kind}])
    encoder = Encoder(EncoderOptions(model=str(tmp_path), device="cpu"))
    assert encoder.dim == 24
    vectors = encoder.encode_documents(["red shoe", "shoe red", "lamp", ""])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


@pytest.mark.model
def test_a_vocabulary_without_a_tokenizer_file(model_folder: Path, tmp_path: Path, tiny: Encoder):
    """Models from before 2020 have only vocab.txt, which transformers turns into a tokenizer."""
    folder = Path(shutil.copytree(model_folder, tmp_path / "old"))
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    words = sorted(vocabulary, key=vocabulary.__getitem__)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    (folder / "tokenizer.json").unlink()
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer"})
    old = Encoder(EncoderOptions(model=str(folder), device="cpu"))
    texts = ["red shoe", "unknowable", "Blue, lamp!"]
    np.testing.assert_array_equal(old.count_tokens(texts), tiny.count_tokens(texts))
    np.testing.assert_allclose(old.encode_documents(texts), tiny.encode_documents(texts), atol=1e-5)
    assert old.fingerprint != tiny.fingerprint
    (folder / "vocab.txt").unlink()
    write_json(folder / "tokenizer_config.json", {})
    with pytest.raises(ModelError, match="holds no tokenizer"):
        Encoder(EncoderOptions(model=str(folder))).count_tokens(["x"])


@pytest.mark.model
def test_bfloat16_is_near_float32(model_folder: Path, tiny: Encoder):
    half = Encoder(EncoderOptions(model=str(model_folder), device="cpu", dtype="bfloat16"))
    ours, theirs = half.encode_documents(TEXTS[:9]), tiny.encode_documents(TEXTS[:9])
    assert ours.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-6)
    assert 0.99 < (ours * theirs).sum(1).min() < 0.9999999


@pytest.mark.model
def test_loading_is_silent_and_changes_no_settings(
    model_folder: Path, capfd: pytest.CaptureFixture[str]
):
    from transformers.utils import logging as theirs

    before = theirs.is_progress_bar_enabled(), theirs.get_verbosity()
    Encoder(EncoderOptions(model=str(model_folder), device="cpu")).encode_query("x")
    assert (theirs.is_progress_bar_enabled(), theirs.get_verbosity()) == before
    assert capfd.readouterr() == ("", "")


@pytest.mark.model
def test_the_default_model_knows_what_goes_together(tmp_path: Path):
    encoder = Encoder(EncoderOptions(device="cpu"))
    texts = ["waterproof hiking boots", "a pair of leather shoes", "electric guitar", "drum sticks"]
    with VectorCache.open(tmp_path / "vectors.cache", encoder.dim) as cache:
        vectors = encoder.encode_documents(texts, cache=cache)
        again = encoder.encode_documents(texts, cache=cache)
    assert again.tobytes() == vectors.tobytes()
    similar = vectors @ vectors.T - 2 * np.eye(4)
    assert similar.argmax(axis=1).tolist() == [1, 0, 3, 2]
    assert (vectors @ encoder.encode_query("something to wear on my feet")).argmax() in (0, 1)
    digest = hashlib.sha256((encoder._files.folder / "model.safetensors").read_bytes())
    assert digest.hexdigest().startswith("53aa51172d14")
