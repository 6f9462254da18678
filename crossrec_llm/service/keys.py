"""Keys: who may ask, of which tenant, and what. The file holds no key, only their hashes."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from filelock import FileLock

from crossrec_llm.errors import DataError, QueryError

Scope = Literal["read", "write", "admin"]
"""What a caller may do: ask; change items, events and corrections; erase and see people."""

SCOPES: tuple[Scope, ...] = get_args(Scope)

_PREFIX = "crk_"
_BYTES = 32


@dataclass(frozen=True)
class Key:
    """A key, without the key itself.

    sha256 : of the key, hexadecimal. It has 256 random bits, so that a slow hash adds nothing.
    created, expires : epoch seconds (UTC); None = it does not expire.
    """

    name: str
    tenant: str
    scopes: tuple[Scope, ...]
    sha256: str
    created: float
    expires: float | None = None

    def expired(self, now: float) -> bool:
        return self.expires is not None and now >= self.expires

    def to_dict(self) -> dict[str, Any]:
        """What may be shown."""
        return {name: value for name, value in asdict(self).items() if name != "sha256"}


class Keys:
    """The keys of a file, which is read again once it is another one.

    So a key that is revoked is refused by every process from its next request on.

    Raises
    ------
    DataError : the file is missing, damaged, or others may read it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: tuple[int, ...] = ()
        self._keys: tuple[Key, ...] = ()
        self.all()

    def all(self) -> tuple[Key, ...]:
        """As the file has them now. Raises as the class."""
        stamp = _look(self.path)
        if stamp != self._stamp:
            self._keys = _read(self.path)
            self._stamp = stamp
        return self._keys

    def find(self, secret: str) -> Key | None:
        """The key that this is, unless it has expired. Raises as the class.

        Every key is compared, each in constant time, so that time tells nothing.
        """
        digest, found = _digest(secret), None
        for key in self.all():
            if hmac.compare_digest(key.sha256, digest):
                found = key
        return None if found is None or found.expired(time.time()) else found


def borne(authorization: str) -> str:
    """The key of an `Authorization: Bearer KEY`; "" where it is none."""
    kind, _, secret = authorization.partition(" ")
    return secret.strip() if kind.lower() == "bearer" else ""


def add_key(
    path: Path,
    name: str,
    *,
    tenant: str,
    scopes: Sequence[Scope] = ("read",),
    expires: float | None = None,
) -> tuple[str, Key]:
    """Draw a key and write it down; the key itself is given once, and kept nowhere.

    Parameters
    ----------
    path : the file; it is made where there is none, for its owner alone.
    name : of the key, to be revoked by.
    expires : epoch seconds.

    Raises
    ------
    QueryError : there is a key of this name, or a value makes no sense.
    DataError : the file cannot be used.
    """
    if not name or not name.isprintable():
        raise QueryError(f"the name of a key is some printable text, not {name!r}")
    if not scopes or set(scopes) - set(SCOPES):
        raise QueryError(f"scopes are {', '.join(SCOPES)}, not {', '.join(scopes) or 'none'}")
    if expires is not None and expires <= time.time():
        raise QueryError("a key that has expired already is of no use: give a later date")
    secret = _PREFIX + secrets.token_urlsafe(_BYTES)
    ordered = tuple(scope for scope in SCOPES if scope in scopes)
    key = Key(name, tenant, ordered, _digest(secret), time.time(), expires)

    def with_it(keys: tuple[Key, ...]) -> tuple[Key, ...]:
        if any(one.name == name for one in keys):
            raise QueryError(f"there is a key {name!r} in {path} already: revoke it first")
        return (*keys, key)

    _change(path, with_it)
    return secret, key


def revoke_key(path: Path, name: str) -> Key:
    """Take a key away. Raises as `add_key`."""
    gone: list[Key] = []

    def without(keys: tuple[Key, ...]) -> tuple[Key, ...]:
        gone.extend(key for key in keys if key.name == name)
        if not gone:
            there = ", ".join(repr(key.name) for key in keys) or "none"
            raise QueryError(f"there is no key {name!r} in {path}; there is {there}")
        return tuple(key for key in keys if key.name != name)

    _require_there(path)
    _change(path, without)
    return gone[0]


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _look(path: Path) -> tuple[int, ...]:
    _require_there(path)
    found = path.stat()
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise DataError(f"others may read the keys: chmod 600 {path}", source=str(path))
    return found.st_ino, found.st_mtime_ns, found.st_size


def _require_there(path: Path) -> None:
    if not path.is_file():
        raise DataError(
            "there is no file of keys: `crossrec keys add NAME --file FILE` makes one",
            source=str(path),
        )


def _read(path: Path) -> tuple[Key, ...]:
    from pydantic import TypeAdapter

    try:
        keys = TypeAdapter(tuple[Key, ...]).validate_python(json.loads(path.read_bytes())["keys"])
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", source=str(path)) from error
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(
            "is not a file of keys as `crossrec keys` writes it; make it anew", source=str(path)
        ) from error
    return tuple(replace(key, sha256=key.sha256.lower()) for key in keys)


def _change(path: Path, made: Callable[[tuple[Key, ...]], tuple[Key, ...]]) -> None:
    """One at a time; the file is replaced in one step, and is never open to others."""
    try:
        with FileLock(path.with_name(path.name + ".lock"), timeout=10, mode=0o600):
            after = made(Keys(path).all() if path.exists() else ())
            partial = path.with_name(path.name + ".new")
            partial.unlink(missing_ok=True)
            handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump({"keys": [asdict(key) for key in after]}, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
    except OSError as error:  # FileLock's Timeout is one
        raise DataError(
            f"cannot be written: {error.strerror or error}", source=str(path)
        ) from error
