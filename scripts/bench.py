#!/usr/bin/env python3
"""Measurements that anybody can run again, one function a name; start it with scripts/bench.

Each prints bars (a value, what it must reach, whether it does) and every figure behind them. They
read the data sets in --data, each a folder with items.parquet and interactions.parquet, and work in
a temporary folder.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from bars import Bar, machine

from crossrec_llm import Recommender, build
from crossrec_llm.atlas import make_map
from crossrec_llm.recipe import Recipe
from crossrec_llm.store import ExactSearch, reachability

HERE = Path(__file__).resolve().parents[1]
SEED = 7
UNTUNED = {"blend": {"tune": False}}


@dataclass(frozen=True)
class Setting:
    """Where the data lies, a folder to work in, and what of `relevance` is wanted.

    `only`: data sets, none = all; `update`: whether docs/relevance.json is written;
    `index`: one that is there already.
    """

    data: Path
    work: Path
    only: tuple[str, ...] = ()
    update: bool = False
    index: Path | None = None

    def files(self, name: str) -> tuple[Path, Path]:
        folders = (self.data / name, HERE / "data" / name)
        folder = next((f for f in folders if (f / "items.parquet").exists()), None)
        if folder is None:
            sys.exit(f"bench: {folders[0]} holds no items.parquet; say where it is with --data")
        return folder / "items.parquet", folder / "interactions.parquet"


Figures = tuple[dict[str, Bar], dict[str, Any]]


def bench_resume(setting: Setting) -> Figures:
    """Kill a build of art-office 10 times: nothing is encoded twice, the answers are the same."""
    files = setting.files("art-office")
    whole, killed = setting.work / "whole", setting.work / "killed"
    started = time.perf_counter()
    first = build(*files, whole)
    seconds = time.perf_counter() - started
    print(f"uninterrupted: {seconds:.0f} s, {first.seconds}", file=sys.stderr)

    log = setting.work / "encoded.txt"
    rng = random.Random(SEED)
    # Six while most of it encodes, four spread over what comes after.
    encoding = first.seconds["encode"]
    moments = [rng.uniform(0, encoding / 3) for _ in range(6)]
    moments += [rng.uniform(0, seconds - encoding) for _ in range(4)]
    fell_in = []
    for moment in moments:
        child = subprocess.Popen([sys.executable, __file__, "--child", *files, killed, log])
        try:
            child.wait(moment)
        except subprocess.TimeoutExpired:
            os.kill(child.pid, signal.SIGKILL)
            step = Path(f"{log}.step")
            fell_in.append(step.read_text() if step.exists() else "start")
        child.wait()
    subprocess.run([sys.executable, __file__, "--child", *files, killed, log], check=True)
    encoded = sum(int(line) for line in log.read_text().split())
    same = _answers(whole) == _answers(killed)

    again = time.perf_counter()
    unchanged = build(*files, killed)
    again = time.perf_counter() - again
    items = pq.read_table(files[0])
    chosen = set(rng.sample(range(len(items)), len(items) // 100))
    titles = items["title"].to_pylist()
    titles = [f"{title} {SEED}" if i in chosen else title for i, title in enumerate(titles)]
    place = items.schema.get_field_index("title")
    changed = setting.work / "items.parquet"
    pq.write_table(items.set_column(place, "title", pa.array(titles)), changed)
    later = build(changed, files[1], killed)
    bars = {
        "same answers, byte for byte": Bar(float(same), 1),
        "texts encoded more than once": Bar(encoded - first.encoded, 0, most=True),
        "texts encoded when nothing changed": Bar(unchanged.encoded, 0, most=True),
        "seconds when nothing changed": Bar(again, 10, most=True),
        "texts encoded beyond the 1 % that changed": Bar(later.encoded - len(chosen), 0, most=True),
    }
    return bars, {
        "kills": len(fell_in),
        "the step each fell in or after": fell_in,
        "moments": moments,
        "seed": SEED,
        "distinct texts": first.encoded,
        "seconds uninterrupted": seconds,
        "steps": first.seconds,
        "changed titles": len(chosen),
        "encoded after the change": later.encoded,
    }


def child(items: str, interactions: str, index: str, log: str) -> None:
    """A build that notes how many texts each finished batch had."""
    before = 0

    def note(step: str, done: int, total: int) -> None:
        nonlocal before
        Path(f"{log}.step").write_text(step)
        if step == "encode":
            with Path(log).open("a") as file:
                file.write(f"{done - before}\n")
            before = done

    build(items, interactions, index, progress=note)


def _answers(index: Path) -> bytes:
    """The answers to 500 users, 100 items and 20 texts, as JSON."""
    rng = random.Random(SEED)
    with Recommender.open(index) as rec:
        answers: list[Any] = [
            rec.for_user(user, k=20) for user in rng.sample(rec.generation.users.ids, 500)
        ]
        answers += [rec.similar(item, k=20) for item in rng.sample(rec.catalogue.ids, 100)]
        answers += [rec.audience(item, k=20) for item in rng.sample(rec.catalogue.ids, 100)]
        answers += [rec.like(rec.item(item).title) for item in rng.sample(rec.catalogue.ids, 20)]
    return json.dumps([answer.to_dict() for answer in answers]).encode()


def bench_search(setting: Setting) -> Figures:
    """Chroma against the exact scan on food-kitchen: recall at 100, and every item finds itself."""
    index = setting.work / "food-kitchen"
    report = build(*setting.files("food-kitchen"), index)
    bars: dict[str, Bar] = {}
    figures: dict[str, Any] = {"items": report.items, "steps": report.seconds}
    with Recommender.open(index) as rec:
        rng = np.random.default_rng(SEED)
        names, codes = rec.catalogue.top_names, rec.catalogue.top_codes
        masks: dict[str, np.ndarray | None] = {"all": None}
        for code, name in enumerate(names):
            masks[f"without {name}"] = codes != code
            masks[f"only {name}"] = codes == code
        searched: dict[Literal["items", "texts"], np.ndarray] = {
            "items": rec.generation.vectors,
            "texts": rec.generation.raw,
        }
        for collection, vectors in searched.items():
            search = rec.generation.chroma_search(collection)
            probes = np.asarray(vectors[rng.choice(len(vectors), 500, replace=False)])
            for words, allowed in masks.items():
                found, _ = search.nearest(probes, 100, allowed)
                _, true = ExactSearch(vectors).nearest(probes, 100, allowed)
                cosines = np.einsum("qd,qkd->qk", probes, vectors[found])
                recall = float((cosines >= true[:, -1:] - 1e-5).mean())
                bars[f"recall@100, {collection}, {words}"] = Bar(recall, 0.99)
            started = time.perf_counter()
            reached = reachability(search, vectors)
            figures[f"seconds to check {collection}"] = time.perf_counter() - started
            unreachable = len(reached.unreachable)
            bars[f"unreachable, {collection}"] = Bar(unreachable, 0, most=True)
    return bars, figures


def bench_start(setting: Setting) -> Figures:
    """Whole processes on food-kitchen: --help, user and similar, medians of 9."""
    index = setting.work / "food-kitchen"
    build(*setting.files("food-kitchen"), index)
    with Recommender.open(index) as rec:
        user, item = rec.generation.users.ids[1234], rec.catalogue.ids[1234]
    questions = {
        "--help": (["--help"], 0.5),
        "user": (["user", user, "--json", "--index", str(index)], 2.5),
        "similar": (["similar", item, "--json", "--index", str(index)], 2.5),
    }
    bars, all_seconds = {}, {}
    for words, (arguments, bar) in questions.items():
        seconds = []
        for _ in range(9):
            started = time.perf_counter()
            subprocess.run(_crossrec(*arguments), check=True, stdout=subprocess.DEVNULL)
            seconds.append(time.perf_counter() - started)
        all_seconds[words] = seconds
        bars[f"seconds, crossrec {words}"] = Bar(statistics.median(seconds), bar, most=True)
    return bars, {"seconds": all_seconds}


def bench_parity(setting: Setting) -> Figures:
    """200 users of scientific: the same lists by command line, Python and a Chroma server."""
    files = setting.files("scientific")
    build(*files, setting.work / "default")
    with _chroma_server(setting.work / "chroma") as url:
        always = {"search": {"exact_below": 0, "overfetch": 1_000_000}}
        for name, store in (("embedded", {}), ("server", {"store": {"url": url}})):
            build(*files, setting.work / name, recipe=Recipe.from_dict({**always, **store}))
        lists = {}
        for name in ("default", "embedded", "server"):
            with Recommender.open(setting.work / name) as rec:
                users = random.Random(SEED).sample(rec.generation.users.ids, 200)
                lists[name] = [rec.for_user(user).to_dict()["items"] for user in users]
    by_command = [
        json.loads(
            subprocess.run(
                _crossrec("user", user, "--json", "--index", str(setting.work / "default")),
                check=True,
                capture_output=True,
            ).stdout
        )["items"]
        for user in users
    ]

    def same_ids(one: list[Any], two: list[Any]) -> int:
        ids = [[item["item_id"] for item in items] for items in one]
        return sum(a == [item["item_id"] for item in b] for a, b in zip(ids, two, strict=True))

    python = json.loads(json.dumps(lists["default"]))
    bars = {
        "the same to the last digit, command line and Python": Bar(
            sum(a == b for a, b in zip(python, by_command, strict=True)), 200
        ),
        "the same list, Chroma embedded and exact scan": Bar(
            same_ids(lists["embedded"], lists["default"]), 200
        ),
        "the same list, Chroma server and exact scan": Bar(
            same_ids(lists["server"], lists["default"]), 200
        ),
    }
    return bars, {"users": len(users), "seed": SEED}


def bench_relevance(setting: Setting) -> Figures:
    """Every figure of docs/relevance.md: hours for all of it, --only DATA for a part."""
    import golden
    import relevance

    files: dict[str, tuple[Path, ...]] = {}
    for trial in relevance.TRIALS:
        folder = setting.data / trial.data
        if setting.only and trial.data not in setting.only:
            continue
        if not (folder / "items.parquet").exists():
            print(f"{folder} holds no items.parquet: left out", file=sys.stderr)
            continue
        others = ("queries.tsv", "qrels.txt") if trial.protocol == "search" else None
        names = others or ("interactions.parquet",)
        files[trial.data] = (folder / "items.parquet", *(folder / name for name in names))
    bars: dict[str, Bar] = {}
    figures: dict[str, Any] = {"builds": {}, "trials": [], "moved": []}
    for found in relevance.measured(files, setting.work):
        mine = {name: Bar(value, bar) for name, (value, bar) in found.least.items()}
        mine |= {name: Bar(value, bar, most=True) for name, (value, bar) in found.most.items()}
        print("\n".join(bar.words(name) for name, bar in mine.items()), file=sys.stderr)
        if setting.update:
            kept = [{k: v for k, v in trial.items() if k != "seconds"} for trial in found.trials]
            figures["moved"] += golden.update(HERE / "docs" / "relevance.json", kept)
        bars |= mine
        figures["builds"][found.data] = found.build
        figures["trials"] += found.trials
    return bars, figures


def bench_crossing(setting: Setting) -> Figures:
    """Crossing under control on three data sets: about an hour, --only DATA for one."""
    import crossing

    bars: dict[str, Bar] = {}
    figures: dict[str, Any] = {}
    for name in ("completejourney", "art-office", "food-kitchen"):
        if setting.only and name not in setting.only:
            continue
        index = setting.work / name
        build(*setting.files(name), index)
        found = crossing.measured(index)
        for least_or_most, most in ((crossing.LEAST, False), (crossing.MOST, True)):
            bars |= {
                f"{name}, {figure}": Bar(found.get(figure, math.nan), bar, most)
                for figure, bar in least_or_most.items()
            }
        figures[name] = found
    return bars, figures


def bench_openapi(setting: Setting) -> Figures:
    """50,000 questions made from the OpenAPI document, half of them not allowed: half an hour."""
    from service import benches

    return benches.openapi(setting.work)


def bench_tenants(setting: Setting) -> Figures:
    """Three tenants asked 100,000 times in a mix: nothing of one is told to another."""
    from service import benches

    return benches.tenants(setting.work)


def bench_experiments(setting: Setting) -> Figures:
    """Reports of experiments on people whose clicks are known: how often intervals are right."""
    from service import experiments

    with Recommender.open(experiments.shop_index(setting.work)) as rec:
        found = experiments.measure(rec)
    bars = {name: Bar(found[name], bar) for name, bar in experiments.LEAST.items()}
    bars |= {name: Bar(found[name], bar, most=True) for name, bar in experiments.MOST.items()}
    return bars, {name: value for name, value in found.items() if name not in bars}


def bench_load(setting: Setting) -> Figures:
    """The service under load on food-kitchen: 50 questions a second, then 250; two minutes."""
    from service import load

    index = setting.index or setting.work / "food-kitchen"
    if setting.index is None:
        build(*setting.files("food-kitchen"), index)
    steady, over, after = load.measured(index, setting.work)
    bars = {
        "p99 at 50 a second, ms": Bar(steady.p99, 50, most=True),
        "at 50 a second, answers that are not 200": Bar(steady.others(200), 0, most=True),
        "at 250 a second, answers that are not 200 or 429": Bar(
            over.others(200, 429), 0, most=True
        ),
        "p99 at 50 a second after that, ms": Bar(after.p99, 50, most=True),
        "growth at 50 a second, MB a minute": Bar(after.growth, 5, most=True),
    }
    return bars, {
        "at 50 a second": steady.to_dict(),
        "at 250 a second": over.to_dict(),
        "at 50 a second after that": after.to_dict(),
    }


def bench_map(setting: Setting) -> Figures:
    """Maps of up to 350,000 items: seconds, neighbours kept, frames; --only SIZE for one size."""
    from service import load, maps

    index = setting.work / "completejourney"
    build(*setting.files("completejourney"), index, recipe=Recipe.from_dict(UNTUNED))
    make_map(index)
    with load.serving(index) as server:
        found = maps.measured(server.url.rstrip("/"), index, setting.only)
    bars = {
        "recall@10 of completejourney's map": Bar(found["completejourney"]["recall@10, map"], 0.7)
    }
    for size in maps.SIZES:
        if figures := found.get(f"{size:,} items"):
            bars[f"seconds, {size:,} items"] = Bar(figures["seconds"], 180, most=True)
    frames = found["frames"]
    name = f"ms between frames of {frames['points']:,} points, median, {frames['drawn by']}"
    bars[name] = Bar(frames["ms between frames, median"], 50, most=True)
    return bars, found


def bench_first_page(setting: Setting) -> Figures:
    """From `crossrec build` to the first page of `crossrec serve`, a grocer's and a CSV's."""
    from service import first_page

    files = {
        "completejourney": setting.files("completejourney"),
        "a CSV of 1,000 items": first_page.as_csv(*setting.files("scientific"), setting.work),
    }
    found = {
        name: first_page.measure(*pair, setting.work / f"index-{number}")
        for number, (name, pair) in enumerate(files.items())
    }
    bars = {
        f"seconds to the first page, {name}": Bar(one["seconds"], first_page.MOST, most=True)
        for name, one in found.items()
    }
    return bars, {"seconds": found}


def bench_training(setting: Setting) -> Figures:
    """What the sequence signal adds to the served lists: an hour or two, --only DATA for one."""
    import relevance
    import training

    bars: dict[str, Bar] = {}
    figures: dict[str, Any] = {}
    for name in training.DATA:
        if setting.only and name not in setting.only:
            continue
        build(*setting.files(name), setting.work / name, tune=False)
        found = relevance.apart(training.compare, setting.work / name)
        mine = found.bars(name)
        print("\n".join(bar.words(bar_name) for bar_name, bar in mine.items()), file=sys.stderr)
        bars |= mine
        figures[name] = dataclasses.asdict(found)
    return bars, figures


def _crossrec(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).with_name("crossrec")), *arguments]


@contextmanager
def _chroma_server(folder: Path) -> Iterator[str]:
    """A real server on a free port of loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    chroma = str(Path(sys.executable).with_name("chroma"))
    command = [chroma, "run", "--path", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


BENCHES: dict[str, Callable[[Setting], Figures]] = {
    name.removeprefix("bench_").replace("_", "-"): function
    for name, function in list(globals().items())
    if name.startswith("bench_")
}


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        return child(*sys.argv[2:])
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="\n".join(f"{name:<10}{f.__doc__}" for name, f in BENCHES.items()),
    )
    parser.add_argument("name", choices=BENCHES)
    parser.add_argument("--data", type=Path, default=HERE.parent / "shared" / "data")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        help="crossing, relevance, training: a data set; map: a size",
    )
    parser.add_argument("--update", action="store_true", help="relevance: the golden figures")
    parser.add_argument("--index", type=Path, help="load: of food-kitchen, built already")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crossrec-bench-") as work:
        bars, figures = BENCHES[given.name](
            Setting(given.data, Path(work), tuple(given.only), given.update, given.index)
        )
    if given.json:
        document = {
            "bars": {name: bar.to_dict() for name, bar in bars.items()},
            "machine": machine(),
            **figures,
        }
        print(json.dumps(document, indent=2))
    else:
        for name, bar in bars.items():
            print(bar.words(name))
        for name, value in figures.items():
            print(f"       {name}: {value}")
    if not all(bar.met for bar in bars.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
