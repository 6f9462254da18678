"""Counts a model's tokens and cuts texts to what it reads, with the `tokenizers` library alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from crossrec_llm.errors import ModelError

if TYPE_CHECKING:
    from crossrec_llm.meaning.model import ModelFiles

_BATCH = 4096
# Longer than any text that still fits; a cell of megabytes costs no more than a long page.
_CHARACTERS_PER_TOKEN = 64
_WORD = 40


class Tokens:
    """A tokenizer and the number of tokens that fit.

    Parameters
    ----------
    tokenizer : a `tokenizers.Tokenizer` without truncation and padding.
    limit : tokens that one text may have, special ones included.
    fingerprint : identifies the vocabulary.
    """

    def __init__(self, tokenizer: Any, limit: int, fingerprint: str = "") -> None:
        self._tokenizer = tokenizer
        self.limit = limit
        self.special = int(tokenizer.num_special_tokens_to_add(False))
        self.fingerprint = hashlib.sha256(f"{fingerprint} {limit}".encode()).hexdigest()

    @classmethod
    def load(cls, files: ModelFiles, limit: int, prompt: str = "") -> Tokens:
        """The model's tokenizer; `prompt` stands before every text and takes its share of `limit`.

        Raises
        ------
        ModelError : the model ships no tokenizer, or the prompt leaves no room.
        """
        from tokenizers import Tokenizer

        path = files.text_folder / "tokenizer.json"
        try:
            tokenizer = Tokenizer.from_file(str(path)) if path.is_file() else _converted(files)
        except ModelError:
            raise
        except Exception as error:  # the library raises nothing narrower
            raise ModelError(f"{path} cannot be read: {error}") from error
        tokenizer.no_truncation()
        tokenizer.no_padding()
        taken = len(tokenizer.encode(prompt, add_special_tokens=False)) if prompt else 0
        room = limit - taken
        if room <= tokenizer.num_special_tokens_to_add(False):
            raise ModelError(f"max_tokens {limit} leaves no room for text in {files.id}: raise it")
        return cls(tokenizer, room, files.tokenizer_sha256)

    def count(self, texts: Sequence[str]) -> np.ndarray:
        """(n,) int64 tokens of each text, special ones included.

        Of a text that is hopelessly longer than the limit only the beginning is counted.
        """
        longest = _CHARACTERS_PER_TOKEN * self.limit
        counts: list[int] = []
        for start in range(0, len(texts), _BATCH):
            batch = [text[:longest] for text in texts[start : start + _BATCH]]
            counts.extend(len(e) for e in self._tokenizer.encode_batch_fast(batch))
        return np.array(counts, dtype=np.int64)

    def fits(self, texts: Sequence[str]) -> np.ndarray:
        """(n,) bool: whether each text is within the limit.

        Only texts with more bytes than that are counted: a token has at least one byte.
        """
        room = self.limit - self.special
        fits = np.array([len(text.encode()) <= room for text in texts], dtype=bool)
        long = np.flatnonzero(~fits).tolist()
        fits[long] = self.count([texts[i] for i in long]) <= self.limit
        return fits

    def cut(self, texts: Sequence[str], rooms: Sequence[int] | None = None) -> list[str]:
        """Each text's beginning in whole words, at most `rooms[i]` tokens without special ones.

        Without `rooms`, what fits the limit.
        """
        if rooms is None:
            rooms = [self.limit - self.special] * len(texts)
        longest = _CHARACTERS_PER_TOKEN * self.limit
        clipped = [text[:longest] for text in texts]
        encodings = self._tokenizer.encode_batch(clipped, add_special_tokens=False)
        return [
            _whole_words(text, encoding.offsets, room)
            for text, encoding, room in zip(clipped, encodings, rooms, strict=True)
        ]


def _whole_words(text: str, offsets: Sequence[tuple[int, int]], room: int) -> str:
    if len(offsets) <= room:
        return text
    end = offsets[room - 1][1] if room > 0 else 0
    head = text[:end]
    if head and not text[end : end + 1].isspace():
        # Scripts without spaces have no border nearby: they are cut between characters.
        border = max(head.rfind(" "), 0)
        head = head[:border] if border and end - border <= _WORD else head
    return head.rstrip(" ,;:-–—(/&")


def _converted(files: ModelFiles) -> Any:
    """Old models ship a vocabulary that only transformers can turn into a tokenizer."""
    if not files.tokenizer_sha256:  # transformers would make up an empty vocabulary
        raise ModelError(f"{files.text_folder} holds no tokenizer: tokenizer.json is missing")
    from transformers import AutoTokenizer

    try:
        loaded = AutoTokenizer.from_pretrained(files.text_folder, trust_remote_code=False)
        return loaded.backend_tokenizer
    except (OSError, ValueError, ImportError, AttributeError) as error:
        raise ModelError(f"{files.text_folder} has no usable tokenizer: {error}") from error
