"""Options that several commands share, written once and unfolded into each command."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import logging
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from crossrec_llm.errors import CrossrecError, QueryError
from crossrec_llm.filter import BOOST, Cross, Filter
from crossrec_llm.resources import default_index

app = typer.Typer(
    name="crossrec",
    help="A recommender that reads: meaning and behaviour, within categories and across them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@dataclass(frozen=True)
class Output:
    """How a command speaks."""

    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document on stdout, nothing else.")
    ] = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no notes.")] = False
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log what is done to stderr.")
    ] = False

    def set_up(self) -> None:
        level = logging.INFO if self.verbose else logging.ERROR if self.quiet else logging.WARNING
        # On the handler too: some packages give their own loggers a level.
        handler = logging.StreamHandler(sys.stderr)
        handler.setLevel(level)
        logging.basicConfig(level=level, format="%(name)s: %(message)s", handlers=[handler])
        if not self.verbose:
            for noisy in ("sentence_transformers", "transformers", "chromadb", "httpx"):
                logging.getLogger(noisy).setLevel(logging.ERROR)


@dataclass(frozen=True)
class Where:
    """Which index is asked."""

    index: Annotated[
        Path,
        typer.Option(
            help="Folder of the index. [default: $CROSSREC_INDEX, else index/store/default]",
            show_default=False,
        ),
    ] = dataclasses.field(default_factory=default_index)


@dataclass(frozen=True)
class Erasing:
    """What an erasure does beside erasing."""

    refit: Annotated[
        bool,
        typer.Option("--refit", help="Fit at once what holds sums over them; else a build does."),
    ] = False
    no_refill: Annotated[
        bool,
        typer.Option("--no-refill", help="Leave filling Chroma again to the next build."),
    ] = False
    prove: Annotated[
        bool,
        typer.Option("--prove", help="Look for them in every byte of the index; exit 1 if found."),
    ] = False

    def asking(self) -> dict[str, bool]:
        """Keyword arguments of `forget_user` and `erase_items`."""
        return {"refit": self.refit, "refill": not self.no_refill, "prove": self.prove}


@dataclass(frozen=True)
class Narrow:
    """What may be in an answer, and how the list is made up."""

    k: Annotated[int, typer.Option("-k", help="Length of the list.")] = 10
    category: Annotated[
        list[str],
        typer.Option(
            help="Only under this path (“Electronics > Audio”); repeatable.", show_default=False
        ),
    ] = dataclasses.field(default_factory=list)
    not_category: Annotated[
        list[str], typer.Option(help="Nothing under this path; repeatable.", show_default=False)
    ] = dataclasses.field(default_factory=list)
    cross: Annotated[
        Cross, typer.Option(help="Only outside the home categories, none of it, or any.")
    ] = "any"
    cross_share: Annotated[
        float | None, typer.Option(help="Share of the list outside the home categories, 0..1.")
    ] = None
    diversity: Annotated[
        float | None, typer.Option(help="0 (relevance only) to 1. [default: the recipe's]")
    ] = None
    price_min: Annotated[float | None, typer.Option(help="Lowest price, inclusive.")] = None
    price_max: Annotated[float | None, typer.Option(help="Highest price, inclusive.")] = None
    brand: Annotated[
        list[str], typer.Option(help="Only this brand; repeatable.", show_default=False)
    ] = dataclasses.field(default_factory=list)
    available: Annotated[bool, typer.Option("--available", help="Only what can be had now.")] = (
        False
    )
    exclude: Annotated[
        list[str], typer.Option(help="Not this item id; repeatable.", show_default=False)
    ] = dataclasses.field(default_factory=list)
    include_seen: Annotated[
        bool, typer.Option("--include-seen", help="Items of the history may come again.")
    ] = False
    since: Annotated[
        str | None, typer.Option(help="Only items added on or after this date (2026-01-31).")
    ] = None
    added_within: Annotated[
        float | None,
        typer.Option(help="Only items added within so many days of the one added last."),
    ] = None
    pin: Annotated[
        list[str],
        typer.Option(
            help="This item id takes the first place, the next one the second; repeatable.",
            show_default=False,
        ),
    ] = dataclasses.field(default_factory=list)
    boost: Annotated[
        list[str],
        typer.Option(
            metavar="TARGET[=STRENGTH]",
            help="Bring forward an item id, “category:PATH”, “brand:NAME”, “fresh:DAYS” or “new”, "
            f"by 0..1 (where not given {BOOST:g}); repeatable.",
            show_default=False,
        ),
    ] = dataclasses.field(default_factory=list)
    bury: Annotated[
        list[str],
        typer.Option(
            metavar="TARGET",
            help="Only where nothing else fits; what --boost takes; repeatable.",
            show_default=False,
        ),
    ] = dataclasses.field(default_factory=list)
    max_per_brand: Annotated[
        int | None, typer.Option(help="At most so many items of one brand.")
    ] = None
    max_per_category: Annotated[
        int | None, typer.Option(help="At most so many items of one category (its whole path).")
    ] = None
    max_per_top_category: Annotated[
        int | None, typer.Option(help="At most so many items of one top category.")
    ] = None
    quota: Annotated[
        list[str],
        typer.Option(
            metavar="PATH=SHARE",
            help="Exactly this share of the list lies under this path; repeatable.",
            show_default=False,
        ),
    ] = dataclasses.field(default_factory=list)
    new_share: Annotated[
        float | None, typer.Option(help="Least share of the list that nobody took yet, 0..1.")
    ] = None
    calibration: Annotated[
        float | None,
        typer.Option(help="How much the list follows the categories of the history, 0..1."),
    ] = None
    no_standing: Annotated[
        bool, typer.Option("--no-standing", help="Without the standing rules of the recipe.")
    ] = False
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Every reason and signal, not only the first; with --json every contribution.",
        ),
    ] = False

    def filter(self) -> Filter:
        return Filter(
            category=tuple(self.category),
            not_category=tuple(self.not_category),
            cross=self.cross,
            price_min=self.price_min,
            price_max=self.price_max,
            brand=tuple(self.brand),
            available=self.available,
            exclude=tuple(self.exclude),
            include_seen=self.include_seen,
            since=self.since,
            added_within=self.added_within,
            pin=tuple(self.pin),
            boost=[_with_number(text) for text in self.boost],
            bury=tuple(self.bury),
            max_per_brand=self.max_per_brand,
            max_per_category=self.max_per_category,
            max_per_top_category=self.max_per_top_category,
            quota=[_with_number(text) for text in self.quota],
            new_share=self.new_share,
            calibration=self.calibration,
            standing=not self.no_standing,
        )

    def asking(self) -> dict[str, Any]:
        """Keyword arguments that for_user, like and similar share."""
        return {
            "k": self.k,
            "filter": self.filter(),
            "cross_share": self.cross_share,
            "diversity": self.diversity,
            "explain": "full" if self.explain else True,
        }


def _with_number(text: str) -> str | tuple[str, float]:
    """A pair of NAME=0.3; a name that has no number after it, as it is."""
    name, _, number = text.rpartition("=")
    try:
        return (name.strip(), float(number)) if name else text
    except ValueError:
        return text


def narrowed(base: Narrow, words: str, name: str) -> Narrow:
    """`base` with the options of `user` that are written in `words` put in their place.

    Parameters
    ----------
    name : of the option that `words` is the value of, for messages.

    Raises
    ------
    QueryError : it is not options of this kind.
    """
    # Typer has click inside or beside it, by its version; this is UsageError of either.
    usage_error: type[Exception] = typer.BadParameter.__mro__[1]
    group: Any = typer.main.get_command(app)
    try:
        context = group.commands["user"].make_context(name, ["somebody", *shlex.split(words)])
    except (usage_error, ValueError) as error:
        message = getattr(error, "message", str(error))
        raise QueryError(f"{name} {words!r}: {message}") from error
    given = {
        key: value
        for key, value in context.params.items()
        if getattr(context.get_parameter_source(key), "name", "") == "COMMANDLINE"
    }
    del given["user_id"]
    ours = {field.name for field in dataclasses.fields(Narrow)}
    if other := sorted(given.keys() - ours):
        raise QueryError(f"{name} {words!r}: --{other[0].replace('_', '-')} does not belong there")
    return dataclasses.replace(base, **given)


_STOPPED: dict[Callable[..., None], str] = {}


def when_stopped(words: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """What a command says of its work where Ctrl-C stops it; goes under `command`."""

    def remember(function: Callable[..., None]) -> Callable[..., None]:
        _STOPPED[function] = words
        return function

    return remember


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Register a command; parameters typed as Output, Where or Narrow become their fields.

    A CrossrecError ends in one clear line on stderr and exit code 2; anything else is a bug and
    keeps its traceback.
    """
    hints = get_type_hints(function, include_extras=True)
    own: list[inspect.Parameter] = []
    unfolded: list[inspect.Parameter] = []
    groups: dict[str, type] = {}
    for parameter in inspect.signature(function).parameters.values():
        hint = hints[parameter.name]
        if not dataclasses.is_dataclass(hint):
            own.append(parameter.replace(annotation=hint))
            continue
        assert isinstance(hint, type)
        groups[parameter.name] = hint
        types = get_type_hints(hint, include_extras=True)
        for entry in dataclasses.fields(hint):
            factory = entry.default_factory
            default = entry.default if factory is dataclasses.MISSING else factory
            unfolded.append(
                inspect.Parameter(
                    entry.name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=default,
                    annotation=types[entry.name],
                )
            )

    @functools.wraps(function)
    def run(**values: Any) -> None:
        given = {
            name: group(**{f.name: values.pop(f.name) for f in dataclasses.fields(group)})
            for name, group in groups.items()
        }
        try:
            for group in given.values():
                if isinstance(group, Output):
                    group.set_up()
            function(**values, **given)
        except KeyboardInterrupt as stopped:
            words = _STOPPED.get(function)
            print(f"crossrec: stopped{'; ' + words if words else ''}", file=sys.stderr)
            raise typer.Exit(130) from stopped
        except CrossrecError as error:
            print(f"crossrec: {error}", file=sys.stderr)
            raise typer.Exit(2) from error

    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*own, *unfolded)]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return app.command(function.__name__.rstrip("_").replace("_", "-"))(run)
