from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda
from langchain_tests.integration_tests import RetrieversIntegrationTests
from pydantic import ValidationError

from crossrec_llm import Filter, Recommender
from crossrec_llm.agents.langchain import CrossrecRetriever
from crossrec_llm.errors import QueryError, UnknownUser


@pytest.fixture(scope="module")
def rec(tiny_made: tuple[Path, Any]) -> Iterator[Recommender]:
    with Recommender.open(tiny_made[0]) as opened:
        yield opened


@pytest.mark.filterwarnings("ignore:.*is marked with '@pytest.mark.asyncio' but")
@pytest.mark.asyncio
class TestStandard(RetrieversIntegrationTests):
    """The tests that every retriever passes."""

    @pytest.fixture(autouse=True)
    def _opened(self, rec: Recommender) -> None:
        self.rec = rec

    @property
    def retriever_constructor(self) -> type[CrossrecRetriever]:
        return CrossrecRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"recommender": self.rec, "k": 4}

    @property
    def retriever_query_example(self) -> str:
        return "seeds for the garden"


def test_documents_are_the_answer_of_like(rec: Recommender) -> None:
    narrowed = Filter(category="Books")
    retriever = CrossrecRetriever(recommender=rec, k=3, user="u0", filter=narrowed)

    found = retriever.invoke("chess")

    answer = rec.like("chess", 3, user="u0", filter=narrowed)
    assert [one.id for one in found] == answer.ids
    assert [one.metadata["why"] for one in found] == [one.why for one in answer]
    first = answer[0]
    assert found[0].page_content == f"{first.title}\n\n{first.item.description}"
    assert found[0].metadata["score"] == first.score
    assert found[0].metadata["price"] == first.item.price
    assert found[0].metadata["category"] == first.category
    assert found[0].metadata["reasons"][0]["text"] == first.why
    json.dumps(found[0].metadata)


def test_a_call_may_have_settings_of_its_own(rec: Recommender) -> None:
    retriever = CrossrecRetriever(recommender=rec, k=3)
    only = Filter(category="Games")

    found = retriever.invoke("chess", k=2, user="u1", filter=only)

    assert [one.id for one in found] == rec.like("chess", 2, user="u1", filter=only).ids


def test_it_goes_into_a_chain(rec: Recommender) -> None:
    chain = CrossrecRetriever(recommender=rec, k=2) | RunnableLambda(
        lambda found: [one.metadata["title"] for one in found]
    )

    assert chain.batch(["chess", "coffee"]) == [
        [one.title for one in rec.like(text, 2)] for text in ("chess", "coffee")
    ]


def test_a_wrong_setting_is_refused_when_it_is_made(rec: Recommender) -> None:
    for wrong in ({"k": 0}, {"filter": {"category": "Books"}}, {"top_k": 3}, {"diversity": 2}):
        with pytest.raises(ValidationError):
            CrossrecRetriever(recommender=rec, **wrong)


def test_errors_are_ours(rec: Recommender) -> None:
    with pytest.raises(QueryError, match="empty"):
        CrossrecRetriever(recommender=rec).invoke(" ")
    with pytest.raises(UnknownUser, match="did you mean"):
        CrossrecRetriever(recommender=rec, user="u0x").invoke("chess")


def test_it_is_shown_and_written_without_the_index(tiny_made: tuple[Path, Any]) -> None:
    retriever = CrossrecRetriever.open(tiny_made[0], k=2)

    assert "Recommender" not in repr(retriever)
    assert "recommender" not in retriever.model_dump()
    assert isinstance(retriever.invoke("chess")[0], Document)
    retriever.recommender.close()


def test_without_langchain_the_extra_is_named() -> None:
    start = "import sys; sys.modules['langchain_core'] = None; import crossrec_llm.agents.langchain"

    done = subprocess.run(
        [sys.executable, "-c", start], capture_output=True, text=True, check=False
    )

    assert "MissingExtra: langchain-core is not installed" in done.stderr
    assert "crossrec-llm[langchain]" in done.stderr
