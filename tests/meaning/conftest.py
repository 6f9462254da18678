"""A tiny random model that sentence-transformers can load, and stand-ins for what is slow."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from crossrec_llm.meaning import Encoder, EncoderOptions

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WIDTH, LAYERS, POSITIONS = 32, 2, 64


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def write_tokenizer(folder: Path) -> int:
    """A tokenizer that knows the words of the tests and single letters."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *LETTERS, *(f"##{c}" for c in LETTERS)]
    words += [*".,:!", "red", "blue", "shoe", "lamp", "query", "passage", "word"]
    ids = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]"}
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": 48,
            "sep_token": "[SEP]",
            **special,
        },
    )
    return len(words)


def bert_weights(vocabulary: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (vocabulary, WIDTH),
        "embeddings.position_embeddings.weight": (POSITIONS, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
        "pooler.dense.weight": (WIDTH, WIDTH),
        "pooler.dense.bias": (WIDTH,),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}"
        norms += [f"{at}.attention.output.LayerNorm", f"{at}.output.LayerNorm"]
        sizes = {
            "attention.self.query": (WIDTH, WIDTH),
            "attention.self.key": (WIDTH, WIDTH),
            "attention.self.value": (WIDTH, WIDTH),
            "attention.output.dense": (WIDTH, WIDTH),
            "intermediate.dense": (2 * WIDTH, WIDTH),
            "output.dense": (WIDTH, 2 * WIDTH),
        }
        for name, shape in sizes.items():
            shapes[f"{at}.{name}.weight"] = shape
            shapes[f"{at}.{name}.bias"] = shape[:1]
    weights = {name: rng.normal(0, 0.3, shape) for name, shape in shapes.items()}
    for name in norms:
        weights[f"{name}.weight"], weights[f"{name}.bias"] = np.ones(WIDTH), np.zeros(WIDTH)
    return {name: array.astype(np.float32) for name, array in weights.items()}


def write_model(folder: Path, *, prompts: dict[str, str] | None = None, seed: int = 0) -> Path:
    """A BERT of two layers, 32 wide, with mean pooling."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True)
    vocabulary = write_tokenizer(folder)
    save_file(bert_weights(vocabulary, seed), folder / "model.safetensors", {"format": "pt"})
    config = {"model_type": "bert", "architectures": ["BertModel"], "vocab_size": vocabulary}
    config |= {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 2}
    config |= {"intermediate_size": 2 * WIDTH, "max_position_embeddings": POSITIONS}
    write_json(folder / "config.json", config)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 48})
    write_json(
        folder / "1_Pooling" / "config.json",
        {"word_embedding_dimension": WIDTH, "pooling_mode_mean_tokens": True},
    )
    listed = [("", "Transformer"), ("1_Pooling", "Pooling")]
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{name}"}
        for i, (path, name) in enumerate(listed)
    ]
    write_json(folder / "modules.json", modules)
    write_json(folder / "config_sentence_transformers.json", {"prompts": prompts or {}})
    return folder


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    prompts = {"query": "query: ", "document": "passage: "}
    return write_model(tmp_path_factory.mktemp("models") / "tiny", prompts=prompts)


class FakeModel:
    """Vectors that depend on the whole batch, as those of a real model do in their last bits."""

    def __init__(self, dim: int = WIDTH) -> None:
        self.dim = dim
        self.batches: list[list[str]] = []
        self.fail_at: int | None = None

    def encode(self, texts: list[str], **arguments: Any) -> np.ndarray:
        if self.fail_at is not None and len(self.batches) >= self.fail_at:
            raise KeyboardInterrupt
        self.batches.append(list(texts))
        digest = hashlib.sha256("\0".join(texts).encode()).digest()
        rng = np.random.default_rng(list(digest))
        return rng.normal(size=(len(texts), self.dim)).astype(np.float32)


@pytest.fixture
def fake_encoder(model_folder: Path) -> Callable[..., tuple[Encoder, FakeModel]]:
    """An encoder with real files and tokenizer whose model is a FakeModel."""

    def make(**options: Any) -> tuple[Encoder, FakeModel]:
        encoder = Encoder(EncoderOptions(model=str(model_folder), **options))
        model = FakeModel()
        encoder._loaded = model
        return encoder, model

    return make


class FakeCatalogue:
    """As much of a catalogue as the templates read."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        schema = pa.schema(
            [
                ("item_id", pa.string()),
                ("title", pa.string()),
                ("description", pa.string()),
                ("category", pa.list_(pa.string())),
                ("brand", pa.string()),
                ("price", pa.float64()),
                ("metadata", pa.string()),
            ]
        )
        empty = {"item_id": "i", "description": "", "category": [], "brand": "", "metadata": "{}"}
        self.table = pa.Table.from_pylist([{**empty, **row} for row in rows], schema=schema)
