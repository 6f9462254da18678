"""index/*.toml -> everybody's Options."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, get_type_hints

from crossrec_llm.answering import (
    AnsweringOptions,
    BlendOptions,
    BridgesOptions,
    ExperimentsOptions,
    InterestsOptions,
    PolicyOptions,
    ProfileOptions,
    RulesOptions,
    SearchOptions,
    Situation,
    Wording,
)
from crossrec_llm.errors import RecipeError
from crossrec_llm.meaning import EncoderOptions, SpaceOptions, TemplateOptions
from crossrec_llm.records import STRICT
from crossrec_llm.resources import default_folder, read_toml
from crossrec_llm.signals import SIGNAL_NAMES, SignalsOptions
from crossrec_llm.store import LiveOptions, StoreOptions
from crossrec_llm.tables import HistoryOptions, TablesOptions

# What is fitted depends on none of these.
_ANSWERING = (
    "blend",
    "answering",
    "bridges",
    "interests",
    "profile",
    "rules",
    "policy",
    "search",
    "live",
    "experiments",
)


@dataclass(frozen=True)
class Recipe:
    """Everything that can be set about an index; each field is one table of the TOML file."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    tables: TablesOptions = field(default_factory=TablesOptions)
    histories: HistoryOptions = field(default_factory=HistoryOptions)
    templates: TemplateOptions = field(default_factory=TemplateOptions)
    encoder: EncoderOptions = field(default_factory=EncoderOptions)
    space: SpaceOptions = field(default_factory=SpaceOptions)
    signals: SignalsOptions = field(default_factory=SignalsOptions)
    blend: BlendOptions = field(default_factory=BlendOptions)
    answering: AnsweringOptions = field(default_factory=AnsweringOptions)
    bridges: BridgesOptions = field(default_factory=BridgesOptions)
    interests: InterestsOptions = field(default_factory=InterestsOptions)
    profile: ProfileOptions = field(default_factory=ProfileOptions)
    rules: RulesOptions = field(default_factory=RulesOptions)
    policy: PolicyOptions = field(default_factory=PolicyOptions)
    search: SearchOptions = field(default_factory=SearchOptions)
    store: StoreOptions = field(default_factory=StoreOptions)
    live: LiveOptions = field(default_factory=LiveOptions)
    experiments: ExperimentsOptions = field(default_factory=ExperimentsOptions)

    @classmethod
    def load(cls, name_or_path: str | Path = "default") -> Recipe:
        """A shipped recipe by name ("default"), or any TOML file by its path.

        Raises
        ------
        RecipeError : it cannot be found or parsed, or with every setting that is wrong; or the
            sentences of its language are.
        """
        path = _find(name_or_path)
        text, raw = read_toml(path)
        _resolve_paths(raw, path.parent)
        recipe = cls.from_dict(raw, source=str(path), text=text)
        Wording.load(recipe.answering.language)
        return recipe

    @classmethod
    def from_dict(cls, raw: dict[str, Any], *, source: str = "recipe", text: str = "") -> Recipe:
        """A recipe from nested dicts; `text`, its TOML, only serves to name lines."""
        from pydantic import ValidationError

        problems: list[tuple[int | None, str]] = []
        recipe = None
        try:
            recipe = _reader().validate_python(_with_whole_situations(raw))
        except ValidationError as error:
            for entry in error.errors():
                loc = tuple(str(part) for part in entry["loc"])
                problems.append((_line_of(text, loc), _explain(cls, loc, entry)))
        problems += [(_line_of(text, loc), words) for loc, words in _blend_problems(raw)]
        if problems or recipe is None:
            problems.sort(key=lambda problem: problem[0] or 0)
            raise RecipeError(
                source, [f"line {line}: {words}" if line else words for line, words in problems]
            )
        return recipe

    def to_json(self) -> str:
        """Canonical JSON, which `from_json` reads back."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        return cls.from_dict(json.loads(text))

    def overlaid(self, settings: Mapping[str, Any], *, source: str = "settings") -> Recipe:
        """The same recipe with some settings in place of its own.

        What a table does not name, it keeps.

        Raises
        ------
        RecipeError : a setting is wrong, or the parts of a generation depend on it.
        """
        fitted = sorted(
            settings.keys() & {f.name for f in dataclasses.fields(self)} - {*_ANSWERING}
        )
        if fitted:
            raise RecipeError(
                source,
                [
                    f"{name}: what is fitted depends on it; build an index with it"
                    for name in fitted
                ],
            )
        recipe = self.from_dict(_laid_over(self, settings), source=source)
        Wording.load(recipe.answering.language)
        return recipe

    @property
    def fingerprint(self) -> str:
        """sha256 over every setting, defaults included."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @property
    def parts_fingerprint(self) -> str:
        """sha256 over the settings that the parts of a generation depend on.

        The others only say how it answers: they can be changed without fitting anything anew.
        """
        settings = dataclasses.asdict(self)
        for name in _ANSWERING:
            del settings[name]
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


@functools.cache
def _reader() -> Any:
    """Made once: it looks at every field of every Options, which takes a tenth of a second."""
    from pydantic import TypeAdapter

    return TypeAdapter(Recipe)


def _laid_over(below: Any, above: Mapping[str, Any]) -> dict[str, Any]:
    """Nested dicts of an Options dataclass, with some settings in place of its own."""
    both = {f.name: _plain(getattr(below, f.name)) for f in dataclasses.fields(below)}
    for name, value in above.items():
        beneath = getattr(below, name, None)
        if dataclasses.is_dataclass(beneath) and isinstance(value, Mapping):
            cold: dict[str, Any] = (
                {"cold": {}} if isinstance(beneath, Situation) and "weights" in value else {}
            )
            value = _laid_over(beneath, {**cold, **value})
        both[name] = value
    return both


def _plain(value: Any) -> Any:
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value  # type: ignore[arg-type]


def _find(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    shipped = default_folder("index")
    if path.is_file():
        return path
    named = shipped / f"{name_or_path}.toml"
    if path.name == str(name_or_path) and not path.suffix and named.is_file():
        return named
    names = sorted(entry.stem for entry in shipped.glob("*.toml"))
    raise RecipeError(
        str(name_or_path),
        [f"there is no such file, and no recipe of that name; shipped: {', '.join(names)}"],
    )


def _explain(cls: type, loc: tuple[str, ...], entry: Any) -> str:
    where = ".".join(loc)
    if entry["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        names = _settings(cls, loc[:-1])
        near = difflib.get_close_matches(loc[-1], names, 1)
        return f"{where}: no such setting" + (
            f"; did you mean {near[0]!r}?" if near else f"; there is {', '.join(names)}"
        )
    message = entry["msg"][0].lower() + entry["msg"][1:]
    return f"{where}: {message}, not {entry['input']!r}"


def _settings(cls: Any, loc: tuple[str, ...]) -> list[str]:
    """The names of the settings in the table at `loc`."""
    for part in loc:
        if not dataclasses.is_dataclass(cls):
            return []
        cls = get_type_hints(cls).get(part)
    return [f.name for f in dataclasses.fields(cls)] if dataclasses.is_dataclass(cls) else []


def _resolve_paths(raw: dict[str, Any], folder: Path) -> None:
    """Make paths of files and models that lie beside the recipe absolute, in place."""
    for table, keys in (
        ("templates", ("item", "history", "query")),
        ("encoder", ("model",)),
        ("answering", ("language",)),
    ):
        settings = raw.get(table)
        if not isinstance(settings, dict):
            continue
        for key in keys:
            value = settings.get(key)
            if isinstance(value, str) and value and (folder / value).expanduser().exists():
                settings[key] = str((folder / value).expanduser().resolve())


def _with_whole_situations(raw: dict[str, Any]) -> dict[str, Any]:
    """A situation that sets only some of its keys keeps the defaults of the others.

    Weights that are set hold for cold items too, unless those have weights of their own.
    """
    blend = raw.get("blend")
    if not isinstance(blend, dict):
        return raw
    defaults = dataclasses.asdict(BlendOptions())
    whole = {}
    for name, given in blend.items():
        if isinstance(given, dict):
            cold: dict[str, Any] = {"cold": {}} if "weights" in given else {}
            given = {**defaults.get(name, {}), **cold, **given}
        whole[name] = given
    return {**raw, "blend": whole}


def _blend_problems(raw: dict[str, Any]) -> list[tuple[tuple[str, ...], str]]:
    """Signal names in `blend` that no signal has, and weights that are all 0."""
    found: list[tuple[tuple[str, ...], str]] = []
    blend = raw.get("blend")
    for situation, table in (blend if isinstance(blend, dict) else {}).items():
        for key in ("weights", "cold", "sources") if isinstance(table, dict) else ():
            names = table.get(key)
            if isinstance(names, dict) and names and not any(names.values()):
                words = f"blend.{situation}.{key}: at least one weight must not be 0"
                found.append((("blend", situation, key), words))
            for name in names if isinstance(names, dict | list | tuple) else ():
                if isinstance(name, str) and name not in SIGNAL_NAMES:
                    near = difflib.get_close_matches(name, SIGNAL_NAMES, 1)
                    hint = f"did you mean {near[0]!r}?" if near else ", ".join(SIGNAL_NAMES)
                    loc = ("blend", situation, key, name)
                    found.append((loc, f"{'.'.join(loc)}: no signal is called that; {hint}"))
    return found


_HEADER = re.compile(r"\s*\[+\s*([^\]]+?)\s*\]+")
_KEY = re.compile(r"\s*([\w.\-\"' ]+?)\s*=")


def _line_of(text: str, loc: tuple[str, ...]) -> int | None:
    """1-based line of the TOML key that comes nearest to `loc`; None where nothing does."""
    table: tuple[str, ...] = ()
    best, best_line = 0, None
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.fullmatch(line.split("#")[0].rstrip()):
            table = _path(header[1])
            path = table
        elif key := _KEY.match(line):
            path = table + _path(key[1])
        else:
            continue
        if len(path) > best and loc[: len(path)] == path:
            best, best_line = len(path), number
    return best_line


def _path(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))
