from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from crossrec_llm.answering import make_query
from crossrec_llm.signals import LeftOut, Network, Sequence, SequenceOptions, fit_sequence
from crossrec_llm.signals.sequence_fit import _Fit, _Log, _Plan
from tests.small import histories_of, unit_rows

N_ITEMS, RING = 14, 10
EVERYTHING = np.arange(N_ITEMS)
VECTORS = unit_rows(N_ITEMS, 16, seed=3)
# Everybody goes round a ring of 10 items, from somewhere on; items 10 to 13 nobody took.
WALKS = [
    [(start + step) % RING for step in range(length)]
    for start in range(RING)
    for length in (3, 4, 5, 6)
] * 3
OPTIONS = SequenceOptions(
    minutes=4,
    least_steps=1,
    width=16,
    passes=60,
    batch=64,
    rate=0.01,
    dropout=0.0,
    item_dropout=0.1,
    last=8,
)


def query(*rows):
    return make_query("user", list(rows), [1.0] * len(rows))


def fitted(options=OPTIONS, walks=WALKS):
    return fit_sequence(histories_of(walks, N_ITEMS), VECTORS, options)


@pytest.fixture(scope="module")
def network():
    return fitted()


def nexts(network, *rows):
    """The best item that is not in the history."""
    allowed = ~np.isin(EVERYTHING, rows)
    return int(Sequence(network, VECTORS).propose(query(*rows), 1, allowed)[0])


@pytest.mark.parametrize("minutes", [1, 0.00046], ids=["all items", "a sample of them"])
def test_what_comes_next_is_a_matter_of_order(minutes):
    options = replace(OPTIONS, negatives=4, minutes=minutes)
    network = fitted(options)
    assert network.figures["sampled"] == (minutes < 1)
    right = sum(
        nexts(network, *((start + step) % RING for step in range(3))) == (start + 3) % RING
        for start in range(RING)
    )
    assert right >= 9
    # The same three items end elsewhere when they come in another order.
    assert nexts(network, 5, 4, 3) == nexts(network, 3) == 4 or nexts(network, 5, 4, 3) != 6


def test_answers_are_what_was_learned(network):
    """The forward pass of answers, in numpy, and that of the fit, in torch, are the same."""
    import torch

    log = _Log.of(histories_of(WALKS, N_ITEMS), N_ITEMS, OPTIONS)
    fit = _Fit(log, VECTORS, OPTIONS, _Plan(1, False, 64))
    for name in fit.weights.keys() & network.weights.keys():
        fit.weights[name] = torch.tensor(network.weights[name])
    x = network.items[np.array([[0, 1, 2, 3], [9, 3, 0, 7]])]
    expected = fit._states(torch.tensor(x), train=False)[:, -1].detach().numpy()
    np.testing.assert_allclose(network.states(x), expected, atol=1e-5)


def test_the_same_seed_gives_the_same_bytes(network):
    again, other = fitted(), fitted(replace(OPTIONS, seed=1))
    assert again.items.tobytes() == network.items.tobytes()
    assert all(
        again.weights[name].tobytes() == network.weights[name].tobytes() for name in again.weights
    )
    assert again.figures == network.figures
    assert other.items.tobytes() != network.items.tobytes()


def test_the_state_of_the_rest_of_torch_is_left_alone():
    import torch

    before = torch.random.get_rng_state()
    fitted(replace(OPTIONS, passes=4))
    assert torch.equal(before, torch.random.get_rng_state())


def test_an_item_that_nobody_took_is_its_text(network):
    texts = network.of_texts(VECTORS)
    np.testing.assert_allclose(network.items[RING:], texts[RING:], atol=1e-6)
    assert np.abs(network.items[:RING] - texts[:RING]).max() > 0.01


def test_items_that_came_after_the_build_are_their_texts(network):
    new = unit_rows(3, 16, seed=9)
    grown = Sequence(network, np.concatenate([VECTORS, new]))
    rows = np.array([15, 2, 14, 2])
    state = network.states(network.items[[0, 1]][None])[0]
    expected = np.concatenate([network.items, network.of_texts(new)]) @ state
    np.testing.assert_allclose(grown.score(query(0, 1), rows), expected[rows], rtol=1e-5)
    proposed = grown.propose(query(0, 1), 5, np.ones(17, bool))
    np.testing.assert_array_equal(proposed, np.argsort(-expected, kind="stable")[:5])
    assert np.isfinite(grown.score(query(16, 1), rows)).all()


def test_an_item_carries_what_the_score_loses_without_it(network):
    signal = Sequence(network, VECTORS)
    history = [7, 8, 9, 0]
    whole = signal.score(query(*history), EVERYTHING)
    carried = signal.carriers(query(*history), EVERYTHING)
    for at in range(len(history)):
        without = signal.score(query(*history[:at], *history[at + 1 :]), EVERYTHING)
        np.testing.assert_allclose(carried[:, at], np.maximum(whole - without, 0), atol=1e-5)
    assert carried[1].argmax() == 3  # item 1 comes after item 0
    alone = signal.carriers(query(4), EVERYTHING)[:, 0]
    np.testing.assert_allclose(alone, np.maximum(signal.score(query(4), EVERYTHING), 0), atol=1e-5)


def test_of_a_long_history_only_the_newest_items_count(network):
    signal = Sequence(network, VECTORS)
    newest = [0, 1, 2, 3, 4, 5, 6, 7]
    long = signal.score(query(9, 8, *newest), EVERYTHING)
    np.testing.assert_allclose(long, signal.score(query(*newest), EVERYTHING), atol=1e-5)
    assert not signal.carriers(query(9, 8, *newest), EVERYTHING)[:, :2].any()


def test_the_figures_say_how_the_fit_went(network):
    figures = network.figures
    assert figures["ndcg@10"] > figures["ndcg@10 begun"] + 0.2
    assert 0 < figures["passes"] <= figures["most_passes"] == OPTIONS.passes
    assert figures["people"] == 12
    assert figures["steps"] == sum(len(walk) - 1 for walk in WALKS) - 12


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"minutes": 0}, "minutes = 0"),
        ({"least_steps": 1_000}, "420 steps from an item to the next"),
        ({"minutes": 1e-9}, "raise minutes"),
    ],
)
def test_it_is_left_out_with_a_reason(change, words):
    with pytest.raises(LeftOut, match=words):
        fitted(replace(OPTIONS, **change))


@pytest.mark.parametrize(
    ("walks", "words"), [([], "nobody took anything"), ([[0], [1]], "two items")]
)
def test_a_log_without_steps_teaches_nothing(walks, words):
    with pytest.raises(LeftOut, match=words):
        fitted(walks=walks)


def test_a_smaller_budget_makes_fewer_passes():
    budget = fitted(replace(OPTIONS, minutes=2e-4)).figures["most_passes"]
    assert 4 <= budget < OPTIONS.passes


def test_it_ends_early_where_nothing_is_learned_any_more():
    rng = np.random.default_rng(0)
    noise = [rng.permutation(N_ITEMS)[:4].tolist() for _ in range(40)]
    steps = []
    fit_sequence(
        histories_of(noise, N_ITEMS),
        VECTORS,
        OPTIONS,
        lambda _, done, total: steps.append((done, total)),
    )
    done, total = steps[-1]
    assert done < total / 2


def test_heads_share_the_width():
    with pytest.raises(ValueError, match="3 heads cannot share a width of 16"):
        replace(OPTIONS, heads=3)


def test_answers_do_not_wait_for_torch(network, tmp_path):
    network.save(tmp_path)
    code = (
        "import sys, pathlib, numpy as np;"
        "from crossrec_llm.answering import make_query;"
        "from crossrec_llm.signals import Network, Sequence;"
        f"network = Network.load(pathlib.Path({str(tmp_path)!r}));"
        "signal = Sequence(network, np.zeros((14, 16), np.float32));"
        "signal.score(make_query('user', [0, 1], [1, 1]), np.arange(14));"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_only_a_network_of_these_parts_is_loaded(network, tmp_path):
    assert Network.load(tmp_path) is None
    network.save(tmp_path)
    loaded = Network.load(tmp_path)
    assert loaded is not None
    assert loaded.figures == network.figures
    np.save(tmp_path / "sequence.npy", network.items[:, :8])
    with pytest.raises(ValueError, match="not of the items' width"):
        Network.load(tmp_path)
    np.save(tmp_path / "sequence.npy", network.items.astype(np.float64))
    with pytest.raises(ValueError, match="float32"):
        Network.load(tmp_path)
    np.save(tmp_path / "sequence.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(ValueError, match="Python objects"):
        Network.load(tmp_path)
