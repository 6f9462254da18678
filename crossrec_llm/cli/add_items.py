from __future__ import annotations

from crossrec_llm.cli import show
from crossrec_llm.cli.add_events import LiveFiles, RejectedFile, tell
from crossrec_llm.cli.options import Output, Where, command, when_stopped


@command
@when_stopped("what was acknowledged stays; give the same again")
def add_items(
    files: LiveFiles,
    where: Where,
    output: Output,
    rejects: RejectedFile = None,
) -> None:
    """Add items to an index, or change those it has; a row is the whole item."""
    from crossrec_llm.live import add_items

    with show.progress(output.quiet or output.json) as progress:
        done = add_items(where.index, files, rejects=rejects, progress=progress)
    tell(done, "items", output)
