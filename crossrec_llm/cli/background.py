from __future__ import annotations

import sys
from pathlib import Path

from crossrec_llm.cli.options import Output


def build_if_due(index: Path, output: Output) -> None:
    """Start a build of its own where enough came live, and say so on stderr."""
    from crossrec_llm import publishing

    if not publishing.due(index).due:
        return
    pid = publishing.start_build(index)
    if pid is not None and not output.quiet:
        print(
            f"note: enough has changed: process {pid} builds a new generation (build.log in the "
            "index says how far it is)",
            file=sys.stderr,
        )
