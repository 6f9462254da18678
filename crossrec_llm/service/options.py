"""service.toml -> how the service runs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le

from crossrec_llm.errors import RecipeError
from crossrec_llm.records import STRICT
from crossrec_llm.resources import default_index, read_toml

Count = Annotated[int, Ge(1)]
Seconds = Annotated[float, Gt(0)]

LogFormat = Literal["auto", "json", "console"]

DEFAULT_TENANT = "default"


@dataclass(frozen=True)
class LimitOptions:
    """What one request may ask for, and how many may ask at once.

    k : longest list.
    entries : ids, paths or names in one list of a body.
    text : characters of a free text.
    batch : events or items in one body.
    body : bytes of a body.
    sending : until a body has come, with 408.
    connections : at the same moment, in each worker process; one more gets 503.
    at_once : questions that are answered at the same moment, in each worker process; and as many
        changes and erasures beside them.
    waiting : questions that may wait for their turn, and changes; one more gets 429.
    answer : until a question is given up, with 503.
    change : until a change is, which goes on all the same.
    erasure : until an erasure is, which does too.
    shutdown : for what is being answered, when the service is stopped.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    k: Count = 200
    entries: Count = 1_000
    text: Count = 4_000
    batch: Count = 10_000
    body: Count = 10_000_000
    sending: Seconds = 30.0
    connections: Count = 1_000
    at_once: Count = 2
    waiting: Annotated[int, Ge(0)] = 16
    answer: Seconds = 10.0
    change: Seconds = 60.0
    erasure: Seconds = 600.0
    shutdown: Seconds = 10.0


@dataclass(frozen=True)
class RateOptions:
    """How many requests a minute are answered, in each worker process; 0 = any number.

    Without keys, which only loopback does without, nobody is counted.

    key : with one key.
    tenant : with all keys of a tenant together.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    key: Annotated[int, Ge(0)] = 6_000
    tenant: Annotated[int, Ge(0)] = 30_000


@dataclass(frozen=True)
class MetricsOptions:
    """Who may read the metrics.

    open : anybody, and those of all tenants; else only who has the admin scope, and of their own.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    open: bool = False


@dataclass(frozen=True)
class LogOptions:
    """How the service logs.

    format : JSON lines, or lines for people ("console"); "auto": those on a terminal.
    level : "debug" has what packages tell too, and who asks for health, metrics and style.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    format: LogFormat = "auto"
    level: Literal["debug", "info", "warning"] = "info"


@dataclass(frozen=True)
class TracingOptions:
    """Where spans of OpenTelemetry go; nowhere where nothing is said of it.

    endpoint : of a collector that takes OTLP over gRPC, "http://localhost:4317"; where it is empty,
        the usual variables (OTEL_EXPORTER_OTLP_ENDPOINT) say.
    share : of the requests that begin a trace here; one that comes with a trace follows it.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    endpoint: str = ""
    share: Annotated[float, Ge(0), Le(1)] = 1.0


@dataclass(frozen=True)
class PageOptions:
    """What the pages show beside the index.

    reports : folder with a folder for each report, as `crossrec evaluate --report` writes them;
        with keys, these are in a folder for each tenant, of its name.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    reports: Path | None = None


@dataclass(frozen=True)
class ServiceOptions:
    """How the service runs; each field is a setting or a table of its TOML file.

    host, port : where it listens; an address other than loopback needs keys.
    workers : processes that answer.
    tenants : name -> folder of the index; one called "default" where there is no more to say.
    keys : file of the keys, as `crossrec keys` writes it; without one everybody may do everything,
        which is for loopback and one tenant only.
    hosts : names that it is reached by. Without keys loopback's names are taken beside them, and
        no others; with keys any is, unless some are set.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    host: str = "127.0.0.1"
    port: Annotated[int, Ge(0), Le(65_535)] = 8000
    workers: Count = 1
    tenants: dict[str, Path] = field(default_factory=lambda: {DEFAULT_TENANT: default_index()})
    keys: Path | None = None
    hosts: tuple[str, ...] = ()
    limits: LimitOptions = field(default_factory=LimitOptions)
    rates: RateOptions = field(default_factory=RateOptions)
    metrics: MetricsOptions = field(default_factory=MetricsOptions)
    logs: LogOptions = field(default_factory=LogOptions)
    tracing: TracingOptions = field(default_factory=TracingOptions)
    pages: PageOptions = field(default_factory=PageOptions)

    @classmethod
    def load(cls, path: Path) -> ServiceOptions:
        """From a TOML file; folders in it are beside it unless they are absolute.

        Raises
        ------
        RecipeError : it cannot be read, with every setting that is wrong.
        """
        from pydantic import TypeAdapter, ValidationError

        _, raw = read_toml(path)
        try:
            read = TypeAdapter(cls).validate_python(raw)
        except ValidationError as error:
            problems = [
                f"{'.'.join(map(str, entry['loc']))}: {entry['msg']}, not {entry['input']!r}"
                for entry in error.errors()
            ]
            raise RecipeError(str(path), problems) from error
        folders = {name: path.parent / folder for name, folder in read.tenants.items()}
        object.__setattr__(read, "tenants", folders)
        if read.keys is not None:
            object.__setattr__(read, "keys", path.parent / read.keys)
        if read.pages.reports is not None:
            pages = replace(read.pages, reports=path.parent / read.pages.reports)
            object.__setattr__(read, "pages", pages)
        return read
