from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from crossrec_llm.cli import show
from crossrec_llm.cli.options import Output, command
from crossrec_llm.errors import QueryError


@command
def keys(
    action: Annotated[
        Literal["add", "list", "revoke"], typer.Argument(help="What to do.", show_default=False)
    ],
    name: Annotated[
        str | None, typer.Argument(help="The key's name, for add and revoke.", show_default=False)
    ] = None,
    *,
    output: Output,
    file: Annotated[Path, typer.Option(metavar="FILE", help="Where the keys are.")] = Path(
        "keys.json"
    ),
    tenant: Annotated[str, typer.Option(help="Whose index the key is for.")] = "default",
    scope: Annotated[
        list[str] | None,
        typer.Option(help="read, write or admin; repeatable. [default: read]", show_default=False),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="DATE", help="Refused from then on (2026-12-31).")
    ] = None,
) -> None:
    """Keys of the service: add one (shown once), list them, revoke one."""
    from crossrec_llm.service.keys import Keys, add_key, revoke_key

    if action == "list":
        found = Keys(file).all()
        if output.json:
            return show.print_json({"keys": [key.to_dict() for key in found]})
        for key in found:
            until = f", until {_shown(key.expires)}" if key.expires else ""
            about = f"{key.tenant}, {' '.join(key.scopes)}, since {_shown(key.created)}{until}"
            show.say(show.plain(f"{key.name}: {about}"))
        return None
    if name is None:
        raise QueryError(f"which key? crossrec keys {action} NAME")
    if action == "revoke":
        gone = revoke_key(file, name)
        if output.json:
            return show.print_json(gone.to_dict())
        return show.say(show.plain(f"{name} is revoked; it is refused from now on"))
    secret, key = add_key(
        file,
        name,
        tenant=tenant,
        scopes=tuple(scope or ("read",)),  # type: ignore[arg-type] # they are checked there
        expires=_moment(expires),
    )
    if output.json:
        return show.print_json({**key.to_dict(), "key": secret})
    print(secret)
    show.notes(
        [f"{name} may {', '.join(key.scopes)} for {tenant}; this is shown once"], output.quiet
    )
    return None


def _moment(date: str | None) -> float | None:
    if date is None:
        return None
    try:
        found = datetime.fromisoformat(date)
    except ValueError as error:
        raise QueryError(f"expires {date!r} is not a date like 2026-12-31") from error
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _shown(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M}"
