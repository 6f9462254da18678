from __future__ import annotations

import builtins
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest

from crossrec_llm.errors import MissingExtra, StoreUnavailable
from crossrec_llm.evaluation.report import write_report

NASTY = "<script>alert('x')</script>\"&$x^2$ {{ 7*7 }} @0@ \x00\x1b \ud800 \u202egnp 🎣 مرحبا 電子"
SECTIONS = "measures differences variety slices tail bridges credibility worst meaning made".split()
VOID = {"meta", "br", "link"}


def about(value, width=0.01):
    return {"value": value, "low": value - width, "high": value + width}


def measured(ndcg, recall):
    values = {"ndcg": ndcg, "recall": recall, "hit": recall, "mrr": ndcg / 2, "diversity": 0.6}
    return {f"{name}@10": about(value) for name, value in values.items()} | {
        "novelty@10": about(10.25),
        "calibration@10": about(0.5),
        "cross_share@10": about(0.25),
    }


def sample():
    names = ("system", "popularity", "ease")
    return {
        "protocol": "warm",
        "k": 10,
        "seed": 7,
        "users": 1234,
        "data": {"items": 50, "users": 1234, "events": 9876, "categories": 2},
        "system": measured(0.1234, 0.2345),
        "baselines": {"popularity": measured(0.05, 0.0617), "ease": measured(0.1, 0.2)},
        "ahead": {
            "popularity": {"ndcg@10": about(0.0734), "recall@10": about(0.1728)},
            "ease": {"ndcg@10": about(0.0234), "recall@10": about(0.0345)},
        },
        "beyond": {n: {"coverage": 0.31, "gini": 0.72, "unreachable": 0.08} for n in names},
        "slices": {"history of 1 to 5": {"users": 777, "recall@10": about(0.2111)}},
        "bridges": [
            {"home": "Food", "target": "Kitchen", "users": 321, "recall@10": about(0.0456)},
            {"home": "Food", "target": "Food", "users": 45, "recall@10": about(0.3)},
        ],
        "credibility": {
            "bridges": [
                {
                    "home": "Food",
                    "target": "Kitchen",
                    "credibility": 0.7654,
                    "low": 0.7,
                    "high": 0.8,
                    "evidence": 432,
                    "basis": "behaviour",
                    "open": True,
                }
            ],
            "untested_open": True,
            "jumps": {"reliability": [[0.01, 0.02, 30], [0.2, 0.18, 30]]},
        },
        "long_tail": {n: [0.55, *[0.05] * 9] for n in names},
        "worst": [
            {
                "user_id": "u1",
                "history": ["Tea pot"],
                "targets": ["Milk jug"],
                "list": ["Sugar bowl"],
                "ndcg": 0.0,
            }
        ],
        "controls": {"shuffled": about(0.015, 0.001), "random": 0.0019},
        "blend": {
            "user": {"weights": {"text": 1.5}, "trees": True, "validation": {"ndcg@10": 0.1111}}
        },
        "left_out": {"als": "too large here"},
        "notes": ["three targets lie in the history"],
        "seconds": {"fit": 12.5},
    }


class Page(HTMLParser):
    """Text by section, tags, ids; fails on an element that is not closed."""

    def __init__(self, source):
        super().__init__()
        self.open, self.tags, self.ids, self.text, self.cells = [], [], [], [], []
        self.feed(source)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)
        if "td" in self.open or "th" in self.open:
            self.cells[-1] += data

    def words(self):
        return " ".join("".join(self.text).split())


@pytest.fixture
def write(tmp_path):
    def written(evaluation):
        return write_report(evaluation, tmp_path / "new" / "report").read_text("utf-8")

    return written


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The page of the sample."""
    return write_report(sample(), tmp_path_factory.mktemp("page")).read_text("utf-8")


def svgs(source):
    return re.findall(r"<svg\b.*?</svg>", source, flags=re.DOTALL)


def test_the_page_stands_alone(source):
    assert "://" not in source
    tags = {tag for tag, _ in Page(source).tags}
    assert not tags & {"script", "link", "img", "iframe", "object", "form", "base"}
    assert re.search(r"url\((?!#)|@import", source) is None
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', source)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert "script" not in policy[1]


def test_the_same_evaluation_gives_the_same_bytes(tmp_path):
    one, two = (write_report(sample(), tmp_path / name) for name in ("one", "two"))
    assert one == tmp_path / "one" / "index.html"
    assert one.read_bytes() == two.read_bytes()
    through_json = write_report(json.loads(json.dumps(sample())), tmp_path / "one")
    assert through_json.read_bytes() == two.read_bytes()


def test_every_section_is_there_and_linked(source):
    page = Page(source)
    assert set(SECTIONS) <= set(page.ids)
    links = {attrs["href"] for tag, attrs in page.tags if tag == "a"}
    assert links == {f"#{name}" for name in SECTIONS}


def test_numbers_of_the_tables_are_those_of_the_evaluation(source):
    page = Page(source)
    cells = [" ".join(cell.split()) for cell in page.cells]
    own = cells.index("crossrec")
    assert cells[own + 1 : own + 3] == ["0.1234 0.1134 to 0.1334", "0.2345 0.2245 to 0.2445"]
    assert "10.25 10.24 to 10.26" in cells
    assert "+0.0234 +0.0134 to +0.0334" in cells
    kitchen = cells.index("Kitchen")
    assert cells[kitchen - 1 : kitchen + 3] == ["Food", "Kitchen", "321", "0.0456 0.0356 to 0.0556"]
    slice_row = cells.index("history of 1 to 5")
    assert cells[slice_row + 1 : slice_row + 3] == ["777", "0.2111 0.2011 to 0.2211"]
    assert {"0.3100", "0.7200", "0.0800", "0.5500", "12.5"} <= set(cells)


def test_the_rest_is_said_in_words(source):
    words = Page(source).words()
    for part in (
        "each person's last item is hidden",
        "1,234 people asked, lists of 10",
        "weightstext 1.5",
        "treesyes",
        "als: too large here",
        "three targets lie in the history",
        "shuffled 0.0150",
        "u1, who took Milk jug",
        "Sugar bowl",
        "9,876 events",
    ):
        assert part in words, part


def test_every_plot_has_a_title_and_a_description_of_its_own(source):
    plots = svgs(source)
    # 8 measures, 2 differences, 2 scatters, 1 slice, the tail, two maps and the reliability.
    assert len(plots) == 17
    titles = set()
    for plot in plots:
        # As XML, so that nothing in a plot depends on how HTML mends what is broken.
        root = ET.fromstring(plot)
        assert root.get("role") == "img"
        title, told = root[0], root[1]
        assert (title.tag, told.tag) == ("title", "desc")
        assert title.text
        assert told.text
        assert root.get("aria-labelledby") == f"{title.get('id')} {told.get('id')}"
        titles.add(title.text)
    assert len(titles) == len(plots)
    ids = Page(source).ids
    assert len(ids) == len(set(ids))
    used = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', source)
    assert {a or b for a, b in used} <= set(ids)


def test_plots_take_their_colours_from_the_page(source):
    drawn = "".join(svgs(source))
    assert re.search(r"#[0-9a-fA-F]{3,8}\b(?<!Z)[;\"]", drawn.replace('href="#', "")) is None
    assert "currentColor" in drawn
    for name in set(re.findall(r"var\((--[a-z0-9-]+)\)", drawn)):
        assert source.count(f"{name}:") >= 3, name  # light, dark, print
    assert "prefers-color-scheme: dark" in source


def test_tables_name_their_rows_and_columns(source):
    page = Page(source)
    scopes = [attrs.get("scope") for tag, attrs in page.tags if tag == "th"]
    assert set(scopes) == {"row", "col"}
    tags = [tag for tag, _ in page.tags]
    assert tags.count("table") == tags.count("caption") > 5


@pytest.mark.parametrize(
    ("by", "word"),
    [
        (about(0.02), "Yes: crossrec is better than the best baseline, ease."),
        (about(0.02, 0.03), "It cannot be told"),
        (about(-0.02), "No: crossrec is worse than the best baseline, ease."),
    ],
)
def test_the_verdict_follows_the_interval_against_the_best_baseline(write, by, word):
    evaluation = sample()
    evaluation["ahead"]["ease"]["ndcg@10"] = by
    words = Page(write(evaluation)).words()
    assert word in words
    assert ("ahead of all 2 baselines" in words) == word.startswith("Yes")


def test_the_verdict_says_by_how_much(write, source):
    words = Page(source).words()
    said = "NDCG@10 is 0.1234 against 0.1000: +0.0234 (+23.4 %), with a 95 % interval from +0.0134"
    assert said in words
    evaluation = sample()
    evaluation["ahead"]["popularity"]["ndcg@10"] = about(0.05, 0.06)
    assert "Nor is it clearly ahead of popularity." in Page(write(evaluation)).words()


def test_a_control_that_does_as_well_is_warned_of(write, source):
    assert "Read this with care" not in source
    evaluation = sample()
    evaluation["controls"]["shuffled"] = 0.23
    assert "Read this with care" in write(evaluation)


def nasty(value):
    """Every text of an evaluation replaced by a nasty one, and names of entries too."""
    if isinstance(value, str):
        return NASTY + value
    if isinstance(value, dict):
        known = re.compile(
            r"@|^(users|value|low|high|home|target|targets|history|list|user_id|ndcg)$"
        )
        return {n if known.search(n) else NASTY + n: nasty(entry) for n, entry in value.items()}
    return [nasty(entry) for entry in value] if isinstance(value, list) else value


def test_any_text_is_only_text(write):
    plain = sample()
    evaluation = {name: nasty(part) for name, part in plain.items()}
    evaluation |= {"system": plain["system"]}
    source = write(evaluation)
    page = Page(source)
    assert "script" not in {tag for tag, _ in page.tags}
    words = page.words()
    assert "<script>alert('x')</script>\"&$x^2$ {{ 7*7 }} @0@" in words
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", source)
    assert "\ufffd" in source
    assert "مرحبا" in words
    assert len(svgs(source)) == 15
    for plot in svgs(source):
        ET.fromstring(plot)


def few():
    """The sample with few plots, which take time."""
    small = {"ndcg@10": about(0.1), "diversity@10": about(0.5)}
    return sample() | {"system": small, "baselines": {"ease": small}}


@pytest.mark.parametrize("name", sorted(sample()))
def test_any_part_may_be_missing(write, name):
    evaluation = few()
    del evaluation[name]
    page = Page(write(evaluation))
    assert set(SECTIONS) - {name} - set(page.ids) <= {"measures", "differences", "variety", "tail"}


@pytest.mark.parametrize("nothing", [None, {}, [], "text", 3, [None, 3, "text"]])
def test_parts_may_be_empty_or_not_what_they_should_be(write, nothing):
    page = Page(write(dict.fromkeys(sample(), nothing)))
    assert not {"nan", "inf", "None"} & set(re.findall(r"\w+", page.words()))
    parts = dict.fromkeys(("ahead", "bridges", "credibility", "worst"), nothing)
    assert len(svgs(write(few() | parts))) == 4
    parts["credibility"] = {"bridges": nothing, "jumps": {"reliability": nothing}}
    assert len(svgs(write(few() | parts))) == 4


def test_nothing_at_all_is_still_a_page(write):
    page = Page(write({}))
    assert "No verdict: nothing was measured." in page.words()
    assert set(page.ids) == {"made"}


def test_numbers_that_are_none_are_left_out(write):
    none = float("nan")
    evaluation = sample()
    evaluation["system"]["mrr@10"] = about(none)
    evaluation["system"]["hit@10"] = {"value": None, "low": None, "high": None}
    evaluation["system"]["recall@10"] = {"value": 0.2345, "low": None, "high": None}
    evaluation["beyond"]["ease"]["gini"] = none
    evaluation["seconds"]["fit"] = float("inf")
    evaluation["worst"] = [{}]
    page = Page(write(evaluation))
    assert not {"nan", "inf", "None"} & set(re.findall(r"\w+", page.words()))
    cells = [" ".join(cell.split()) for cell in page.cells]
    own = cells.index("crossrec")
    assert cells[own + 2 : own + 5] == ["0.2345", "none", "none"]


def test_every_cut_off_has_a_table_and_unknown_measures_their_own_name(write):
    cuts = {f"recall@{k}": about(k / 100, 0.001) for k in (1, 3, 5, 20)}
    evaluation = sample()
    evaluation["system"] |= cuts | {"judged_ndcg@10": about(0.9)}
    page = Page(write(evaluation))
    cells = [" ".join(cell.split()) for cell in page.cells]
    for title in ("Recall@1", "Recall@3", "Recall@5", "Recall@20", "Judged ndcg@10"):
        assert title in cells
    assert cells.index("Recall@3") < cells.index("Recall@5") < cells.index("Recall@20")


def test_a_loss_is_told_but_not_drawn_as_a_slice(write):
    evaluation = few()
    evaluation["slices"] = {"warm_loss": {"users": 9, "ndcg@10": about(0.0321)}}
    source = write(evaluation)
    assert not any("by slice" in plot for plot in svgs(source))
    assert "1 − with / without" in source
    evaluation["slices"]["cold_only"] = {"users": 5, "ndcg@10": about(0.2)}
    (plot,) = [plot for plot in svgs(write(evaluation)) if "by slice" in plot]
    assert "cold_only" in plot
    assert "warm_loss" not in plot


@pytest.mark.parametrize("protocol", ["cross-cold", "cross-warm"])
def test_across_categories_only_what_can_differ_is_shown(write, source, protocol):
    assert "Cross share@10" in source
    assert "Calibration@10" in source
    page = write(sample() | {"protocol": protocol})
    assert "Cross share" not in page
    assert "Calibration" not in page
    assert "Diversity@10" in page


def test_a_system_without_measures_is_in_no_table(write):
    evaluation = sample()
    nothing = dict.fromkeys(evaluation["baselines"]["popularity"])
    evaluation["baselines"]["popularity"] = evaluation["ahead"]["popularity"] = nothing
    evaluation["beyond"]["popularity"] = {"coverage": None, "gini": None, "unreachable": None}
    del evaluation["long_tail"]["popularity"]
    cells = [" ".join(cell.split()) for cell in Page(write(evaluation)).cells]
    assert "ease" in cells
    assert "popularity" not in cells


def test_one_is_singular(write):
    evaluation = sample() | {"users": 1, "data": {"items": 1, "categories": 1}}
    words = Page(write(evaluation)).words()
    assert "1 person asked" in words
    assert "1 item, 1 category" in words


def test_a_search_asks_no_people(write):
    evaluation = few() | {"protocol": "search", "users": 62}
    evaluation["system"] = {"ndcg_judged@10": about(0.925), "recall@100": about(0.875)}
    words = Page(write(evaluation)).words()
    for part in ("62 searches asked", "NDCG of judged@10", "grade 2 and more"):
        assert part in words


def test_a_large_map_keeps_the_categories_with_most_people(write):
    evaluation = sample()
    names = [f"c{i:02}" for i in range(40)]
    evaluation["bridges"] = [
        {"home": name, "target": name, "users": 1000 - i, "recall@10": about(0.1)}
        for i, name in enumerate(names)
    ]
    source = write(evaluation)
    (heat,) = [plot for plot in svgs(source) if 'id="heat-title"' in plot]
    texts = [element.text for element in ET.fromstring(heat).iter("text")]
    assert {name for name in texts if name in names} == set(names[:25])
    assert {"10.0", "1,000"} <= set(texts)
    assert "25 categories with most people, of 40" in Page(source).words()


def test_a_missing_matplotlib_is_named(write, monkeypatch):
    original = builtins.__import__

    def without(name, *rest):
        if name.partition(".")[0] == "matplotlib":
            raise ImportError(name)
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"matplotlib.*crossrec-llm\[report\]"):
        write(sample())


def test_matplotlib_is_left_as_it_was(write):
    import matplotlib

    with matplotlib.rc_context({"font.size": 31, "svg.fonttype": "path"}):
        before = dict(matplotlib.rcParams)
        plain = write(sample())
        assert dict(matplotlib.rcParams) == before
    assert write(sample()) == plain


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreUnavailable, match="file"):
        write_report({}, tmp_path / "file")
