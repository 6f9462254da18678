"""Whether the texts of a catalogue say enough for an encoder to work with."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from crossrec_llm.assessing.findings import Finding, found, part
from crossrec_llm.assessing.languages import knows, language
from crossrec_llm.evaluation.words import counted
from crossrec_llm.tables import Catalogue, Suspicion

FEW_WORDS = 3
MANY_WORDS = 190  # about the 256 tokens that small encoders read
TINY_CATEGORY = 5
BOILERPLATE_WORDS = 6
BOILERPLATE_SHARE, BOILERPLATE_TEXTS = 0.05, 20
SAME_WORDS = 0.9  # Jaccard index of the sets of words
_SAMPLE = 20_000  # texts looked at where looking at all would take minutes

_WORD = re.compile(r"\w+")
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]")
_LEFT_OVERS = {
    "an address": r"https?://|www\.\w",
    "an escape": r"\\[nrt]|\\u[0-9a-fA-F]{4}|&(?:amp|nbsp|quot|lt|gt);",
    "a list or object": r"^\s*[\[{]\s*['\"]",
    "Markdown": r"\*\*\S|\]\(\S+\)|^#{1,4} \w",
    "broken letters": r"\x{FFFD}|Ã[\x{0080}-\x{00BF}]|â€|Â[\x{00A0}-\x{00BF}]",
}
_HASHES, _BAND = 16, 4


@dataclass(frozen=True)
class TextQuality:
    """Findings about the texts.

    Attributes
    ----------
    words : quantiles of the number of words of title and description ("10 %", "median", "90 %").
    languages : texts by language, "unknown" where nothing tells for sure; of a sample.
    """

    findings: tuple[Finding, ...]
    words: dict[str, float]
    languages: dict[str, int]


def text_quality(
    catalogue: Catalogue,
    encoded: Sequence[str],
    twins: np.ndarray,
    model: str,
    suspicious: Sequence[Suspicion],
    *,
    seed: int,
) -> TextQuality:
    """Look at the texts of all items.

    Parameters
    ----------
    encoded : what the encoder reads of each item, in the catalogue's order.
    twins : (n,) int64 from `text_groups(encoded)`.
    model : the encoder's name.
    suspicious : what reading found.
    """
    table = catalogue.table
    titles, told = table["title"].to_pylist(), table["description"].to_pylist()
    own = [f"{title}. {text}" if text else title for title, text in zip(titles, told, strict=True)]
    lengths = np.array([_count(text) for text in own])
    rng = np.random.default_rng(seed)
    chosen = np.arange(len(own))
    if len(own) > _SAMPLE:
        chosen = np.sort(rng.choice(len(own), _SAMPLE, replace=False))
    some: list[int] = chosen.tolist()
    spoken = Counter(language(own[i]) or "unknown" for i in some)
    _, firsts = np.unique(twins[chosen], return_index=True)
    distinct = chosen[np.sort(firsts)].tolist()  # what has a twin is told of once
    described = [told[i] for i in distinct if told[i]]
    return TextQuality(
        (
            _short(lengths, own),
            _long(encoded),
            _same(twins, titles),
            _nearly_same([encoded[i] for i in distinct], [titles[i] for i in distinct]),
            _languages(spoken, [own[i] for i in some], model),
            _boilerplate(described or [titles[i] for i in distinct], bool(described)),
            _left_overs(catalogue, suspicious),
            *_categories(catalogue),
        ),
        {
            name: float(np.quantile(lengths, at))
            for name, at in (("10 %", 0.1), ("median", 0.5), ("90 %", 0.9))
        },
        dict(spoken.most_common()),
    )


def text_groups(texts: Sequence[str]) -> np.ndarray:
    """(n,) int64 equal for texts that differ at most in case, spaces and punctuation."""
    place: dict[str, int] = {}
    keys = (" ".join(_WORD.findall(text.casefold())) or text for text in texts)
    return np.array([place.setdefault(key, len(place)) for key in keys], np.int64)


def _count(text: str) -> int:
    """Words; where words are not set apart by spaces, two letters count as one."""
    unspaced = len(_UNSPACED.findall(text)) if not text.isascii() else 0
    rest = _UNSPACED.sub(" ", text) if unspaced else text
    return len(_WORD.findall(rest)) + unspaced // 2


def _short(lengths: np.ndarray, own: list[str]) -> Finding:
    few = np.flatnonzero(lengths < FEW_WORDS)
    words = (
        f"{part(len(few), len(own), 'item')} have a title and description of fewer than "
        f"{FEW_WORDS} words together; the median is {np.median(lengths):.0f} words"
    )
    return found(
        "short texts", len(few) / len(own), words, list(dict.fromkeys(repr(own[i]) for i in few))
    )


def _long(encoded: Sequence[str]) -> Finding:
    over = sum(_count(text) > MANY_WORDS for text in encoded)
    words = f"{part(over, len(encoded), 'text')} are longer than {MANY_WORDS} words"
    return found("long texts", over / len(encoded), words)


def _same(twins: np.ndarray, titles: list[str]) -> Finding:
    sizes = np.bincount(twins)
    extra = len(twins) - len(sizes)
    largest = np.argsort(-sizes, kind="stable")[:3]
    examples = [
        f"{sizes[g]} ids: {titles[int(np.argmax(twins == g))]!r}" for g in largest if sizes[g] > 1
    ]
    words = f"{part(extra, len(twins), 'item')} have the same text as another id"
    return found("same text", extra / len(twins), words, examples)


def _nearly_same(texts: list[str], titles: list[str]) -> Finding:
    pairs = near_pairs(texts)
    alike = len({i for pair in pairs for i in pair})
    examples = [f"{titles[a][:45]!r} | {titles[b][:45]!r}" for a, b in pairs[:3]]
    words = f"{part(alike, len(texts), 'distinct text')} share nine words of ten with another"
    return found("nearly the same text", alike / len(texts), words, examples)


def near_pairs(texts: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of texts whose sets of words have a Jaccard index of at least SAME_WORDS.

    Candidates share a band of their minhash signatures (Broder 1997): 4 bands of 4 rows find a
    pair at 0.9 with probability 0.986. Each candidate is verified; in a crowded band texts are
    compared with the one next to them only.
    """
    sets = [set(_WORD.findall(text.casefold())) for text in texts]
    vocabulary: dict[str, int] = {}
    flat = [vocabulary.setdefault(word, len(vocabulary)) for words in sets for word in words]
    sizes = np.array([len(words) for words in sets], np.int64)
    filled = np.flatnonzero(sizes)
    if len(filled) < 2:
        return []
    hashes = np.array([zlib.crc32(word.encode()) for word in vocabulary], np.uint64)
    starts = np.concatenate([[0], np.cumsum(sizes[filled])[:-1]])
    rng = np.random.default_rng(0)  # its own: any family of hashes finds the same pairs
    signature = np.empty((len(filled), _HASHES), np.uint64)
    for h, (a, b) in enumerate(rng.integers(1, 2**31, (_HASHES, 2), np.uint64)):
        mixed = ((a * hashes + b) % np.uint64(2**31 - 1))[flat]
        signature[:, h] = np.minimum.reduceat(mixed, starts)
    pairs: dict[tuple[int, int], None] = {}
    for band in range(0, _HASHES, _BAND):
        columns = signature[:, band : band + _BAND]
        order = np.lexsort(columns.T)
        equal = (columns[order][1:] == columns[order][:-1]).all(axis=1)
        for at in np.flatnonzero(equal):
            one, other = sorted((int(filled[order[at]]), int(filled[order[at + 1]])))
            both = len(sets[one] & sets[other])
            if both >= SAME_WORDS * (len(sets[one]) + len(sets[other]) - both):
                pairs[(one, other)] = None
    return sorted(pairs)


def _languages(spoken: Counter[str], own: list[str], model: str) -> Finding:
    told = sum(n for name, n in spoken.items() if name != "unknown")
    known = knows(model)
    others = [name for name in spoken if name != "unknown" and known and name not in known]
    n = sum(spoken[name] for name in others)
    parts = [f"{name} {count:,}" for name, count in spoken.most_common(6) if name != "unknown"]
    words = f"of {counted(len(own), 'text')} {told:,} tell their language: {', '.join(parts)}"
    if not told:
        words = "no text tells its language (too short, or none of the languages known here)"
    if known:
        words += f"; {model} was made for {', '.join(sorted(known))}"
    examples = [text for text in dict.fromkeys(own) if language(text) in others] if others else []
    return found("other languages", n / told if told else 0.0, words, examples)


def _boilerplate(texts: list[str], described: bool) -> Finding:
    """Runs of words that many texts share, as a shop's footer or a maker's promise."""
    name = "description" if described else "title"
    lists = [_WORD.findall(text.casefold()) for text in texts]
    least = max(BOILERPLATE_TEXTS, BOILERPLATE_SHARE * len(lists))
    counts: Counter[tuple[str, ...]] = Counter()
    for words in lists:
        counts.update({tuple(run) for run in _runs(words)})
    common = {run for run, n in counts.items() if n >= least}
    having, phrases = 0, Counter[str]()
    for words in lists:
        inside = [tuple(run) in common for run in _runs(words)]
        having += any(inside)
        if any(inside):
            first = inside.index(True)
            last = first + next((i for i, x in enumerate(inside[first:]) if not x), len(inside))
            phrases[" ".join(words[first : last + BOILERPLATE_WORDS - 1])] += 1
    words_ = (
        f"{part(having, len(lists), name)} hold a run of {BOILERPLATE_WORDS} words that at least "
        f"{BOILERPLATE_SHARE:.0%} of them share"
    )
    examples = [f"{n:,} times: {phrase!r}" for phrase, n in phrases.most_common(3)]
    return found("boilerplate", having / len(lists) if lists else 0.0, words_, examples)


def _runs(words: list[str]) -> list[list[str]]:
    n = BOILERPLATE_WORDS
    return [words[i : i + n] for i in range(len(words) - n + 1)]


def _left_overs(catalogue: Catalogue, suspicious: Sequence[Suspicion]) -> Finding:
    """What is no text but stands in it: markup that cleaning could not take, and worse."""
    rows: set[int] = set()
    kinds, examples = [], []
    for kind, pattern in _LEFT_OVERS.items():
        hit: set[int] = set()
        for name in ("title", "description"):
            mask = pc.match_substring_regex(catalogue.table[name], pattern).to_numpy()
            places = np.flatnonzero(mask)
            if len(places) and not hit:
                examples.append(f"{kind}: {catalogue.table[name][int(places[0])].as_py()!r}")
            hit.update(places.tolist())
        if hit:
            kinds.append(f"{kind} {len(hit):,}")
        rows |= hit
    marked = sum(s.count for s in suspicious)
    kinds += [f"{s.kind} {s.count:,}" for s in suspicious]
    examples += [f"{s.kind}: id {s.examples[0]}" for s in suspicious if s.examples]
    n = min(len(rows) + marked, len(catalogue))
    words = f"{part(n, len(catalogue), 'item')} hold what is no text"
    words += f": {', '.join(kinds)}" if kinds else ""
    return found("left-overs", n / len(catalogue), words, examples)


def _categories(catalogue: Catalogue) -> tuple[Finding, ...]:
    n = len(catalogue)
    sizes = np.bincount(catalogue.top_codes, minlength=len(catalogue.top_names))
    without = int(sizes[catalogue.no_category]) if catalogue.no_category >= 0 else 0
    named = [(int(m), name) for name, m in zip(catalogue.top_names, sizes, strict=True) if name]
    named.sort(key=lambda pair: (-pair[0], pair[1]))
    missing = f"{part(without, n, 'item')} have no category"
    findings = [found("no category", without / n, missing)]
    if named:
        most, largest = named[0]
        words = f"{part(most, n, 'item')} are in the largest of {len(named):,} top categories"
        if len(named) == 1:
            words = "there is one top category"
        findings.append(found("largest category", most / n, words, [repr(largest)]))
        tiny = [(m, name) for m, name in named if m < TINY_CATEGORY]
        inside = sum(m for m, _ in tiny)
        words = f"{part(inside, n, 'item')} are in a top category of fewer than {TINY_CATEGORY}"
        examples = [f"{name!r}: {m}" for m, name in tiny]
        findings.append(found("tiny categories", inside / n, words, examples))
    return tuple(findings)
