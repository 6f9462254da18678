"""Reports: the pages that `crossrec evaluate --report` wrote, and the documents beside them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query
from starlette.responses import HTMLResponse, Response

from crossrec_llm.service.asked import Administering, Asked
from crossrec_llm.service.pages.rendering import page
from crossrec_llm.service.problems import Refused

router = APIRouter()

Name = Annotated[str, Query(max_length=1_000)]

_TYPES = {".html": "text/html; charset=utf-8", ".json": "application/json"}
_LARGEST = 50 * 2**20
_READ = 4 * 2**20  # of a document, for what the list says of it
_MOST = 500

# A report needs no script, no other file and no other host; sandboxed, it is no page of this host.
SANDBOX = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Report:
    """A folder of reports, and the files in it that can be shown.

    about : what its document says in one line; empty where it says nothing.
    """

    name: str
    written: str
    files: tuple[str, ...]
    about: str = ""


@router.get("/reports")
async def reports(asked: Administering) -> HTMLResponse:
    """All there are, the newest first."""
    folder = _folder(asked)
    found = await run_sync(_listed, folder) if folder else []
    return page("reports.html", here="/reports", folder=folder, reports=found)


@router.get("/reports/file")
async def report(asked: Administering, report: Name, file: Name) -> Response:
    """One file of one report, which runs nothing and loads nothing."""
    folder = _folder(asked)
    content = await run_sync(partial(_read, folder, report, file)) if folder else None
    if content is None:
        raise Refused(404, "no-report", "there is no such report: /reports lists them")
    headers = {"Content-Security-Policy": SANDBOX, "X-Content-Type-Options": "nosniff"}
    return Response(content, headers=headers, media_type=_TYPES[Path(file).suffix])


def _folder(asked: Asked) -> Path | None:
    """The folder of the caller's reports: with keys, each tenant has one of its own in it."""
    folder = asked.service.options.pages.reports
    return folder / asked.caller.tenant.name if folder and asked.service.keys else folder


def _listed(folder: Path) -> list[Report]:
    found = []
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            files = tuple(sorted(_files(Path(entry.path))))
            if files:
                written = datetime.fromtimestamp(entry.stat().st_mtime, UTC)
                about = _about(Path(entry.path), files)
                moment = written.isoformat(sep=" ", timespec="minutes")
                found.append(Report(entry.name, moment, files, about))
    return sorted(found, key=lambda one: (one.written, one.name), reverse=True)[:_MOST]


def _read(folder: Path, report: str, file: str) -> bytes | None:
    """What is asked for is compared with what is there: no path is made of it."""
    for entry in _entries(folder):
        if entry.name == report and entry.is_dir(follow_symlinks=False):
            path = _files(Path(entry.path)).get(file)
            return path.read_bytes() if path else None
    return None


def _files(folder: Path) -> dict[str, Path]:
    """The files of a report that can be shown, by name; none that a link leads to."""
    return {
        entry.name: Path(entry.path)
        for entry in _entries(folder)
        if entry.is_file(follow_symlinks=False)
        and Path(entry.name).suffix in _TYPES
        and entry.stat(follow_symlinks=False).st_size <= _LARGEST
    }


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _about(folder: Path, files: tuple[str, ...]) -> str:
    """What an evaluation or an assessment says of itself."""
    for name in files:
        path = folder / name
        if path.suffix != ".json" or path.stat().st_size > _READ:
            continue
        try:
            document: Any = json.loads(path.read_bytes())
            if "protocol" in document:
                return f"evaluation, protocol {document['protocol']}, {document['users']:,} people"
            if "verdict" in document:
                return "assessment: " + ("for you" if document["ok"] else "not for you")
        except (ValueError, TypeError, LookupError):
            continue
    return ""
