"""The same list from a terminal, from Python and over HTTP: what "copy as" gives."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Any

from crossrec_llm.filter import Filter
from crossrec_llm.service.pages.settings import Settings

_ABOUT_THE_ANSWER = ("user", "text", "item", "mode", "why_not", "without", "explain")


@dataclass(frozen=True)
class Copies:
    """The same question in three languages; they need CROSSREC_INDEX, or the index's own folder.

    command : "" where the command line has no word for one of the settings.
    """

    curl: str
    python: str
    command: str


def copies(settings: Settings, base: str, *, keyed: bool = False) -> Copies:
    """How to ask for a list elsewhere.

    Parameters
    ----------
    base : address of the service, "http://127.0.0.1:8000".
    keyed : it asks for a key, which a shell has as CROSSREC_KEY; the secret itself is not told.
    """
    narrowing = {
        name: value
        for name, value in settings.set_fields().items()
        if name not in _ABOUT_THE_ANSWER
    }
    return Copies(
        _curl(settings, narrowing, base.rstrip("/"), keyed),
        _python(settings, narrowing),
        _command(settings, narrowing),
    )


def _curl(settings: Settings, narrowing: dict[str, Any], base: str, keyed: bool) -> str:
    if settings.item is not None:
        path, asked = "similar", {"item_id": settings.item, **_mode(settings)}
    elif settings.text is not None:
        path, asked = "like", {"text": settings.text}
    else:
        path, asked = "recommendations", {}
    if settings.user is not None:
        asked["user_id"] = settings.user
    body = json.dumps({**asked, **narrowing}, ensure_ascii=False)
    asking = shlex.join(["curl", f"{base}/v1/{path}", "-H", "content-type: application/json"])
    key = ' -H "Authorization: Bearer $CROSSREC_KEY"' if keyed else ""
    return f"{asking}{key} {shlex.join(['-d', body])}"


def _python(settings: Settings, narrowing: dict[str, Any]) -> str:
    if settings.item is not None:
        call, arguments = "similar", [repr(settings.item), *_named(_mode(settings))]
    elif settings.text is not None:
        user = {"user": settings.user} if settings.user is not None else {}
        call, arguments = "like", [repr(settings.text), *_named(user)]
    else:
        call, arguments = "for_user", [repr(settings.user)]
    own = Filter.__dataclass_fields__
    filter = {name: value for name, value in narrowing.items() if name in own}
    beside = {name: value for name, value in narrowing.items() if name not in own}
    arguments += _named(beside)
    if filter:
        arguments.append(f"filter=Filter({', '.join(_named(filter))})")
    names = "Filter, Recommender" if filter else "Recommender"
    asked = f"print(rec.{call}({', '.join(arguments)}))"
    return f"from crossrec_llm import {names}\n\nrec = Recommender.open()\n{asked}"


def _command(settings: Settings, narrowing: dict[str, Any]) -> str:
    if settings.item is not None:
        verb, subject, options = "similar", settings.item, _mode(settings)
    elif settings.text is not None:
        user = {"user": settings.user} if settings.user is not None else {}
        verb, subject, options = "like", settings.text, user
    else:
        verb, subject, options = "user", str(settings.user), {}
    words = ["crossrec", verb]
    for name, value in {**options, **narrowing}.items():
        if name == "only":
            return ""
        words += _option(name, value)
    words += ["--", subject] if subject.startswith("-") else [subject]
    return shlex.join(words)


def _option(name: str, value: Any) -> list[str]:
    """One setting as the command line takes it; "=" so that a value may begin with "-"."""
    option = f"--{name.replace('_', '-')}"
    if name == "k":
        return ["-k", str(value)]
    if name == "standing":
        return ["--no-standing"]
    if isinstance(value, bool):
        return [option]
    if isinstance(value, dict):
        return [f"{option}={key}={number!r}" for key, number in value.items()]
    return [f"{option}={one}" for one in (value if isinstance(value, list) else [value])]


def _mode(settings: Settings) -> dict[str, Any]:
    return {"mode": settings.mode} if settings.mode != "both" else {}


def _named(values: dict[str, Any]) -> list[str]:
    return [f"{name}={value!r}" for name, value in values.items()]
