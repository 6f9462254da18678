"""What a generation on disk was made with: its recipe, its templates, its Chroma."""

from __future__ import annotations

from threading import Lock

from crossrec_llm.errors import IndexDamaged
from crossrec_llm.meaning import Encoder, TemplateOptions, Templates
from crossrec_llm.recipe import Recipe
from crossrec_llm.store import Collections, Draft, Search, StoredGeneration


def recipe_of(stored: StoredGeneration) -> Recipe:
    """The recipe that a generation was built with.

    Raises
    ------
    IndexDamaged : it cannot be read.
    """
    try:
        return Recipe.from_json((stored.folder / "recipe.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise IndexDamaged(
            f"{stored.folder}: its recipe cannot be read ({' '.join(str(error).split())}); "
            "`crossrec build` makes a new generation"
        ) from error


def templates_of(
    stored: StoredGeneration, recipe: Recipe, encoder: Encoder | None = None
) -> Templates:
    """The very templates that a generation was built with, whatever has become of the rest.

    Parameters
    ----------
    recipe : that of the generation.
    encoder : texts are shortened to what it reads; None leaves them as long as they are.

    Raises
    ------
    TemplateError : they cannot be read.
    """
    names = TemplateOptions(history_items=recipe.templates.history_items)
    tokens = encoder.tokens if encoder else None
    return Templates.load(stored.folder / "prompts", names, tokens=tokens)


def open_chroma(
    recipe: Recipe, stored: StoredGeneration | Draft, *, asking: bool = False
) -> Collections:
    """The generation's own Chroma databases, or its collections on the server of the recipe.

    `asking`: for a question, which waits less long for a server than a build does.
    """
    options = recipe.store.asking if asking else recipe.store
    if recipe.store.url:
        return Collections.server(recipe.store.url, prefix=stored.prefix, options=options)
    return Collections.embedded(stored.folder / "chroma", options)


class OpenChroma:
    """The Chroma of a generation, opened when it is first searched."""

    def __init__(self, recipe: Recipe, stored: StoredGeneration) -> None:
        self._recipe, self._stored = recipe, stored
        self.n_items = stored.counts["items"]
        self._opening = Lock()
        self._store: Collections | None = None
        self._searches: dict[str, Search] = {}

    def search(self, collection: str, ids: list[str]) -> Search:
        with self._opening:
            if self._store is None:
                self._store = open_chroma(self._recipe, self._stored, asking=True)
            if collection not in self._searches:
                self._searches[collection] = self._store.search(collection, ids)
            return self._searches[collection]

    def close(self) -> None:
        with self._opening:
            self._searches.clear()
            if self._store is not None:
                self._store.close()
                self._store = None
