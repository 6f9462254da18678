"""Texts as a generation reads them: its encoder and templates, loaded when first needed."""

from __future__ import annotations

from functools import lru_cache
from threading import RLock
from typing import cast
from weakref import ref

import numpy as np
import pyarrow as pa

from crossrec_llm.generation import Generation
from crossrec_llm.meaning import Encoder, Templates
from crossrec_llm.tables import Catalogue


class Reader:
    """Turns typed texts and items into vectors, by the parts that made those of a generation.

    What is not loaded yet is loaded by one thread while others wait.

    Parameters
    ----------
    before : the reader of an earlier generation; its encoder is taken over where it is the same.
    """

    def __init__(self, generation: Generation, before: Reader | None = None) -> None:
        self._generation = generation
        self._loading = RLock()
        self._encoder: Encoder | None = None
        self._templates: Templates | None = None
        options = generation.recipe.encoder
        same = before is not None and before._generation.recipe.encoder == options
        self._loaded = before._encoder if before is not None and same else None
        me = ref(self)  # else it would hold itself, and its generation, when another took its place
        self.sentence = lru_cache(1024)(lambda text: cast(Reader, me()).query(text))

    @property
    def encoder(self) -> Encoder:
        """Refused with IndexMismatch unless it is the one that made the index's vectors."""
        with self._loading:
            if self._encoder is None:
                encoder = self._loaded or Encoder(self._generation.recipe.encoder)
                self._generation.require(encoder=encoder.name)
                encoder.expect(self._generation.canaries)
                self._encoder = encoder
            return self._encoder

    @property
    def templates(self) -> Templates:
        """Those that made the index's texts."""
        with self._loading:
            if self._templates is None:
                self._templates = self._generation.templates(self.encoder)
            return self._templates

    @property
    def columns(self) -> set[str]:
        """Of ITEMS_SCHEMA, what the text of an item is made from; nothing has to be encoded."""
        return self._generation.templates().columns

    def query(self, text: str) -> np.ndarray:
        """(dim,) float32 raw unit vector of a free text; `sentence` keeps those it made last."""
        return self.encoder.encode_query(self.templates.query_text(text))

    def items(self, items: pa.Table) -> np.ndarray:
        """(n, dim) float32 raw unit vectors of items (ITEMS_SCHEMA)."""
        catalogue = Catalogue(items)
        texts = [self.templates.item_text(catalogue.item(row)) for row in range(len(catalogue))]
        return self.encoder.encode_documents(texts)
