"""A retriever for LangChain: documents that match a text, ranked as the index ranks them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, InstanceOf

from crossrec_llm.errors import MissingExtra
from crossrec_llm.filter import Filter
from crossrec_llm.recommender import Recommender
from crossrec_llm.records import Recommendation

try:
    from langchain_core.callbacks import CallbackManagerForRetrieverRun
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever
except ModuleNotFoundError as error:
    raise MissingExtra("langchain-core", "langchain") from error


class CrossrecRetriever(BaseRetriever):
    """Items like a text, as documents; `Recommender.like` behind the interface of LangChain.

    A document's text is the item's title and description; its metadata are title, category, brand,
    price, image_url, score, cross, cold, why and reasons. Both are text of the catalogue: data,
    which a prompt should not take instructions from.

    Parameters
    ----------
    recommender : an open index; many threads may share it.
    k : length of the list; `invoke(text, k=3)` has another one for one call, and so have `user`
        and `filter`.
    user : whose history bends the order.
    filter : which items may come.
    cross_share, diversity : as of `Recommender.like`.

    Raises
    ------
    MissingExtra : langchain-core is not installed. Others as of `Recommender.like`.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    recommender: InstanceOf[Recommender] = Field(exclude=True, repr=False)
    k: int = Field(default=10, ge=1)
    user: str | None = None
    filter: InstanceOf[Filter] = Filter()
    cross_share: float | None = Field(default=None, ge=0, le=1)
    diversity: float | None = Field(default=None, ge=0, le=1)

    @classmethod
    def open(cls, index: str | Path | None = None, **settings: Any) -> CrossrecRetriever:
        """Over the index of a folder; by default the one that CROSSREC_INDEX names."""
        return cls(recommender=Recommender.open(index), **settings)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        k: int | None = None,
        user: str | None = None,
        filter: Filter | None = None,
    ) -> list[Document]:
        found = self.recommender.like(
            query,
            self.k if k is None else k,
            user=self.user if user is None else user,
            filter=self.filter if filter is None else filter,
            cross_share=self.cross_share,
            diversity=self.diversity,
        )
        return [_document(one) for one in found]


def _document(found: Recommendation) -> Document:
    told = found.to_dict()
    kept = ("title", "category", "brand", "price", "image_url", "score", "cross", "cold", "reasons")
    return Document(
        id=found.item_id,
        page_content="\n\n".join(filter(None, (found.title, found.item.description))),
        metadata={**{name: told[name] for name in kept}, "why": found.why},
    )
