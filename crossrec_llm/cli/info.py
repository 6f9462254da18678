from __future__ import annotations

from dataclasses import asdict

from crossrec_llm.cli import show
from crossrec_llm.cli.options import Output, Where, command


@command
def info(where: Where, output: Output) -> None:
    """What the index is: generations, counts, what it was made from, size on disk."""
    from crossrec_llm.condition import Condition
    from crossrec_llm.generation import Generation
    from crossrec_llm.store import Index

    with Index.open(where.index) as index:
        generation = Generation.load(index.generation)
        recipe = generation.recipe
        size = sum(p.stat().st_size for p in where.index.rglob("*") if p.is_file())
        document = {
            "index": str(where.index),
            "format": index.manifest.format,
            "active": index.manifest.active,
            "generations": sorted(index.manifest.generations),
            "counts": dict(index.generation.counts),
            "records": {
                "items": index.ledger.item_count,
                "users": index.ledger.user_count,
                "events": index.ledger.event_count,
            },
            "top_categories": len(generation.catalogue.top_names),
            "model": recipe.encoder.model,
            "dimensions": int(generation.raw.shape[1]),
            "chroma": recipe.store.url or "embedded",
            "blend": generation.tuned.summary(),
            "left_out": dict(generation.signals.left_out),
            "walls": list(recipe.histories.walls),
            "made_from": dict(index.generation.parts),
            "bytes": size,
        }
    condition = Condition.of(where.index, generation)
    document |= {
        "built": condition.live.built,
        "audits": {name: asdict(audit) for name, audit in condition.audits.items()},
        "backup": asdict(condition.backup) if condition.backup else None,
        "writer": condition.writer,
        "to_see_to": condition.to_see_to(),
    }
    if output.json:
        return show.print_json(document)
    for name, value in document.items():
        if name == "bytes":
            name, value = "size on disk", f"{size / 2**20:,.1f} MB"
        if name == "blend":
            value = "; ".join(show.blend(generation.tuned))
        if name == "left_out":
            value = "; ".join(show.left_out(generation.signals.left_out)) or "nothing"
        if name == "audits":
            audits = (f"{name} {audit}" for name, audit in condition.audits.items())
            value = "; ".join(audits) or "none were kept"
        if name == "backup":
            value = condition.backup or "none is known"
        if name == "to_see_to":
            value = "; ".join(condition.to_see_to()) or "nothing"
        if isinstance(value, dict):
            parts = (
                f"{key} {number:,}" if isinstance(number, int) else f"{key} {str(number)[:12]}"
                for key, number in value.items()
            )
            value = ", ".join(parts)
        elif isinstance(value, list):
            value = ", ".join(value) or "none"
        show.say(f"{name.replace('_', ' '):<16}{value}")
