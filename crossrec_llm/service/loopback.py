"""The names of this machine to itself, where nobody needs a key."""

from __future__ import annotations

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Whether an address or a name, without a port, leads to this machine whoever resolves it."""
    try:
        return ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def refusal(host: str, command: str) -> str:
    """Why a command does not listen at an address of other machines without keys, and the fix."""
    return (
        f"without keys only this machine is answered, and {host!r} is reached from others: "
        f"`crossrec keys add NAME --file FILE` makes a key, {command} takes it"
    )
