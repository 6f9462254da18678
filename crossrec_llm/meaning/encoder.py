"""Texts -> unit float32 rows, by any sentence-transformers model."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge

from crossrec_llm.errors import ModelError
from crossrec_llm.meaning.canaries import BATCHES, TEXTS, Canaries, environment
from crossrec_llm.meaning.model import DEFAULT_MODEL, ModelFiles
from crossrec_llm.meaning.tokens import Tokens
from crossrec_llm.records import STRICT, Progress

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from crossrec_llm.meaning.cache import VectorCache

logger = logging.getLogger(__name__)

_SEEN: set[tuple[str, str, str]] = set()  # encoder, device and canaries that were the same


@dataclass(frozen=True)
class EncoderOptions:
    """Which model makes the vectors, and how.

    Parameters
    ----------
    model : a sentence-transformers model by its name on the hub, or a local folder.
    revision : commit on the hub; None takes the copy on this disk, else the newest (the
        default model is always pinned).
    device : "auto" (cuda, else mps, else cpu) or a torch device.
    dtype : of the computation; "auto" is the one that the model was saved in.
    batch_size : texts at a time.
    max_tokens : tokens of a text that are read; None takes the model's own limit.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    model: str = DEFAULT_MODEL
    revision: str | None = None
    device: str = "auto"
    dtype: Literal["float32", "bfloat16", "auto"] = "float32"
    batch_size: Annotated[int, Ge(1)] = 32
    max_tokens: Annotated[int, Ge(4)] | None = None


class Encoder:
    """A model that is found at once and loaded only when something must be encoded.

    Attributes
    ----------
    id, revision : what the model is.
    max_tokens : tokens that it reads of a text, its prompt and special ones included.
    encoded, from_cache : distinct texts so far that were computed, and that were taken from a
        cache.

    Raises
    ------
    ModelError : the model is not there or may not be used.
    """

    def __init__(self, options: EncoderOptions = EncoderOptions()) -> None:
        self._options = options
        self._files = ModelFiles.find(options.model, options.revision)
        self.id, self.revision = self._files.id, self._files.revision
        self.max_tokens = options.max_tokens or self._files.max_tokens
        if self._files.positions and self.max_tokens > self._files.positions:
            raise ModelError(
                f"max_tokens {self.max_tokens} is above the {self._files.positions} of {self.id}"
            )
        self._query_prompt, self._document_prompt = self._files.prompts
        self.encoded = self.from_cache = 0
        self._loading = Lock()
        self._loaded: SentenceTransformer | None = None
        self._expected: Canaries | None = None
        self._looked = True  # whether the loaded model was held to what is expected

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all that decides a vector; the weights are verified on the way.

        Raises
        ------
        ModelError : the weights are not what the model's name promises.
        """
        parts = [
            "1",
            self._files.fingerprint,
            self._options.dtype,
            str(self.max_tokens),
            self._query_prompt,
            self._document_prompt,
        ]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    @property
    def name(self) -> str:
        """What made the vectors, in words that tell two encoders apart."""
        revision = f" at {self.revision[:8]}" if self.revision else ""
        return f"{self.id}{revision} in {self._options.dtype} ({self.fingerprint[:12]})"

    @cached_property
    def dim(self) -> int:
        """Length of a vector; the model is only asked if its files do not say."""
        return self._files.dim or len(self.encode_query("a text"))

    @cached_property
    def tokens(self) -> Tokens:
        """Counts a document's tokens and knows how many fit beside the document prompt."""
        return Tokens.load(self._files, self.max_tokens, self._document_prompt)

    def count_tokens(self, texts: Sequence[str]) -> np.ndarray:
        """(n,) int64 tokens of each text, special ones included, prompts not."""
        return self.tokens.count(texts)

    def encode_documents(
        self,
        texts: Sequence[str],
        *,
        cache: VectorCache | None = None,
        progress: Progress | None = None,
    ) -> np.ndarray:
        """Unit vectors of documents (item texts, history texts).

        Equal texts are computed once, and only those that `cache` lacks. Batches are cut from
        the missing texts, longest first, ties by hash, and each is committed before the next
        starts. So what is missing after a kill is the end of the same list: a restart cuts the
        same batches and gives the same bytes.

        Returns
        -------
        (n, dim) float32, unit rows, in the order of `texts`.
        """
        places: dict[str, int] = {}
        rows = np.array([places.setdefault(t, len(places)) for t in texts], dtype=np.int64)
        unique = list(places)
        keys = [self._key(text) for text in unique]
        if cache is None:
            vectors = np.zeros((len(unique), self.dim), dtype=np.float32)
            there = np.zeros(len(unique), dtype=bool)
        else:
            vectors, there = cache.get_many(keys)
        self.from_cache += int(there.sum())

        missing = np.flatnonzero(~there).tolist()
        counts = self.count_tokens([unique[i] for i in missing])
        lengths = dict(zip(missing, np.minimum(counts, self.tokens.limit).tolist(), strict=True))
        missing.sort(key=lambda i: (-lengths[i], keys[i]))
        for start in range(0, len(missing), self._options.batch_size):
            batch = missing[start : start + self._options.batch_size]
            computed = self._encode([unique[i] for i in batch], self._document_prompt, "document")
            if cache is not None:
                cache.put_many([keys[i] for i in batch], computed)
            vectors[batch] = computed
            self.encoded += len(batch)
            if progress is not None:
                progress("encode", start + len(batch), len(missing))
        aligned: np.ndarray = vectors[rows]
        return aligned

    def encode_query(self, text: str) -> np.ndarray:
        """(dim,) float32 unit vector of a free-text query."""
        vector: np.ndarray = self._encode([text], self._query_prompt, "query")[0]
        return vector

    def canaries(self, cache: VectorCache) -> Canaries:
        """The canary texts as what is in a cache was encoded.

        Where the cache has them, this encoder is held to them from now on (`expect`); else they
        are encoded, and kept there.
        """
        keys = [self._key(text) for text in TEXTS]
        vectors, there = cache.get_many(keys)
        kept = Canaries(vectors, environment())
        if there.all():
            self.expect(kept)
            return kept
        prompt = self._document_prompt
        vectors = np.concatenate(
            [self._encode(list(texts), prompt, "document") for texts in BATCHES]
        )
        cache.put_many(keys, vectors)
        return Canaries(vectors, environment())

    def expect(self, canaries: Canaries | None) -> None:
        """Refuse to encode anything unless the canary texts get these vectors.

        Looked at when the model is loaded, once per process for the same vectors; None = whatever
        they are.

        Raises
        ------
        IndexMismatch : the model is loaded already and gives others. Later, whatever encodes.
        """
        with self._loading:
            self._expected, self._looked = canaries, canaries is None
            if self._loaded is not None:
                self._refuse_drift(self._loaded)

    def _refuse_drift(self, model: SentenceTransformer) -> None:
        if self._looked or self._expected is None:
            return
        digest = hashlib.sha256(self._expected.vectors.tobytes()).hexdigest()
        seen = (self.fingerprint, self._options.device, digest)
        if seen not in _SEEN:
            prompt = self._document_prompt
            vectors = np.concatenate(
                [self._rows(model, list(texts), prompt, "document") for texts in BATCHES]
            )
            self._expected.require(vectors, self.name)
            _SEEN.add(seen)
        self._looked = True

    def _key(self, text: str) -> bytes:
        content = f"{self.fingerprint}\0{self._document_prompt}{text}"
        return hashlib.sha256(content.encode()).digest()

    def _encode(self, texts: list[str], prompt: str, task: str) -> np.ndarray:
        return self._rows(self._model, texts, prompt, task)

    def _rows(
        self, model: SentenceTransformer, texts: list[str], prompt: str, task: str
    ) -> np.ndarray:
        """One batch, (n, dim) float32 unit rows.

        A text that the model maps to zero (none of its words are known) gets one constant
        direction, so that no row is zero.
        """
        raw = model.encode(
            texts,
            prompt=prompt,
            task=task,
            batch_size=len(texts),
            show_progress_bar=False,
            convert_to_numpy=True,
        )
        rows = np.asarray(raw, dtype=np.float32)
        if not np.isfinite(rows).all():
            raise ModelError(f"{self.id} gives no finite vectors in {self._options.dtype}")
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        rows = np.where(lengths > 0, rows, np.float32(1.0))
        unit: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit

    @property
    def _model(self) -> SentenceTransformer:
        with self._loading:
            if self._loaded is None:
                self._loaded = self._load()
            self._refuse_drift(self._loaded)
            return self._loaded

    def _load(self) -> SentenceTransformer:
        _ = self.fingerprint  # refuses weights that are not what they claim to be
        import torch
        from safetensors import SafetensorError
        from sentence_transformers import SentenceTransformer

        dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16, "auto": "auto"}
        arguments: dict[str, Any] = {"dtype": dtype[self._options.dtype], "use_safetensors": True}
        try:
            with _quiet():
                model = SentenceTransformer(
                    str(self._files.folder),
                    device=_device(self._options.device),
                    model_kwargs=arguments,
                    trust_remote_code=False,
                    local_files_only=True,
                )
        except (OSError, ValueError, ImportError, RuntimeError, SafetensorError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ModelError(f"the model {self.id} cannot be loaded: {reason}") from error
        with suppress(AttributeError):  # static embeddings read everything, and say so
            model.max_seq_length = self.max_tokens
        logger.info("loaded %s on %s", self.id, model.device)
        return model


def _device(wanted: str) -> str:
    import torch

    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


@contextmanager
def _quiet() -> Iterator[None]:
    """Loading is silent; what the caller had set is put back."""
    from transformers.utils import logging as theirs

    bars, level = theirs.is_progress_bar_enabled(), theirs.get_verbosity()
    theirs.disable_progress_bar()
    theirs.set_verbosity_error()
    try:
        yield
    finally:
        theirs.set_verbosity(level)
        if bars:
            theirs.enable_progress_bar()
