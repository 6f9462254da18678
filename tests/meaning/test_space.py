from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from crossrec_llm.errors import IndexDamaged
from crossrec_llm.meaning import Space, SpaceOptions


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def stretched(n: int, dim: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Unit rows of three categories, each around a centre of its own, uneven in its directions."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 3, n).astype(np.int32)
    rows = (
        rng.normal(size=(n, dim)) * np.linspace(2, 0.1, dim) + 3 * rng.normal(size=(3, dim))[codes]
    )
    return unit(rows), codes


def formula(raw: np.ndarray, codes: np.ndarray, power: float) -> np.ndarray:
    """The written formula, row by row."""
    e = raw.astype(np.float64)
    centred = np.array([e[i] - e[codes == codes[i]].mean(axis=0) for i in range(len(e))])
    values, vectors = np.linalg.eigh(centred.T @ centred / len(e))
    f = centred @ vectors @ np.diag((values + 1e-3 * values.max()) ** (-power / 2))
    return f / np.linalg.norm(f, axis=1, keepdims=True)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_it_is_the_formula(power: float):
    raw, codes = stretched(300)
    ours = Space.fit(raw, codes, SpaceOptions(power=power)).apply(raw, codes)
    expected = formula(raw, codes, power)
    assert ours.dtype == np.float32
    # An eigenvector's sign is free, a cosine is not.
    np.testing.assert_allclose(ours @ ours.T, expected @ expected.T, atol=1e-4)


def test_one_category_and_global_are_the_same():
    raw, codes = stretched(200)
    one = Space.fit(raw, np.zeros(200, np.int32)).apply(raw, np.zeros(200, np.int32))
    overall = Space.fit(raw, codes, SpaceOptions(centre="global")).apply(raw, codes)
    np.testing.assert_allclose(one, overall, atol=1e-6)


def test_full_power_makes_directions_equal():
    raw, codes = stretched(3000)
    spreads = {}
    for power in (0.0, 0.5, 1.0):
        made = Space.fit(raw, codes, SpaceOptions(power=power)).apply(raw, codes)
        values = np.linalg.eigvalsh(np.cov(made.T))
        spreads[power] = values.max() / values.min()
    assert spreads[1.0] < 2 < spreads[0.5] / 2 < spreads[0.0] / 4


def test_centring_removes_what_a_category_shares():
    raw, codes = stretched(600)
    made = Space.fit(raw, codes).apply(raw, codes)
    for code in range(3):
        assert np.linalg.norm(raw[codes == code].mean(axis=0)) > 0.5
        assert np.linalg.norm(made[codes == code].mean(axis=0)) < 0.15


def test_a_small_category_takes_the_mean_of_all():
    raw, codes = stretched(100)
    codes[:4] = 3
    space = Space.fit(raw, codes)
    unknown = np.full(4, -1)
    np.testing.assert_array_equal(space.apply(raw[:4], codes[:4]), space.apply(raw[:4], unknown))
    alone = Space.fit(raw, codes, SpaceOptions(min_items=4))
    assert np.abs(alone.apply(raw[:4], codes[:4]) - alone.apply(raw[:4], unknown)).max() > 0.01


@pytest.mark.parametrize("code", [-1, 3, 99])
def test_codes_unknown_at_fit_take_the_mean_of_all(code: int):
    raw, codes = stretched(100)
    space = Space.fit(raw, codes)
    new = unit(np.random.default_rng(1).normal(size=(5, 12)))
    expected = (new - raw.mean(axis=0)) @ space._matrix
    np.testing.assert_allclose(space.apply(new, np.full(5, code)), unit(expected), atol=1e-5)


def test_a_single_row_is_the_same_alone_and_among_others():
    raw, codes = stretched(50)
    space = Space.fit(raw, codes)
    for i in range(0, 50, 7):
        alone = space.apply(raw[i : i + 1], codes[i : i + 1])
        np.testing.assert_allclose(alone[0], space.apply(raw, codes)[i], atol=1e-6)


def test_no_rows():
    space = Space.fit(np.empty((0, 6), np.float32), np.empty(0, np.int32))
    assert space.apply(np.empty((0, 6), np.float32), np.empty(0, np.int32)).shape == (0, 6)
    new = unit(np.ones((1, 6)))
    np.testing.assert_allclose(space.apply(new, np.array([0])), new, atol=1e-6)


@settings(max_examples=80, deadline=None)
@given(
    raw=hnp.arrays(
        np.float64,
        st.tuples(st.integers(1, 30), st.integers(1, 8)),
        elements=st.sampled_from([-1.0, 0.0, 0.5, 1.0]),
    ),
    seed=st.integers(0, 99),
    power=st.sampled_from([0.0, 0.5, 1.0]),
    min_items=st.sampled_from([1, 10]),
    centre=st.sampled_from(["global", "top_category"]),
)
def test_rows_are_always_unit(
    raw: np.ndarray, seed: int, power: float, min_items: int, centre: str
):
    """Single rows, equal rows, fewer rows than dimensions: never NaN, never zero."""
    raw[np.abs(raw).sum(axis=1) == 0, 0] = 1
    rows = unit(raw)
    codes = np.random.default_rng(seed).integers(0, 4, len(rows)).astype(np.int32)
    options = SpaceOptions(power=power, min_items=min_items, centre=centre)  # type: ignore[arg-type]
    made = Space.fit(rows, codes, options).apply(rows, codes)
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1, atol=1e-5)


def test_equal_rows_stay_equal():
    rows = unit(np.repeat(np.random.default_rng(0).normal(size=(4, 6)), 12, axis=0))
    codes = np.repeat(np.arange(4), 12).astype(np.int32)
    made = Space.fit(rows, codes).apply(rows, codes)
    np.testing.assert_array_equal(made[::12], made[11::12])


def test_save_and_load(tmp_path: Path):
    raw, codes = stretched(80)
    space = Space.fit(raw, codes, SpaceOptions(power=0.7))
    space.save(tmp_path / "a.npz")
    Space.fit(raw, codes, SpaceOptions(power=0.7)).save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    loaded = Space.load(tmp_path / "a.npz")
    assert loaded.options == space.options
    assert loaded.fingerprint == space.fingerprint
    np.testing.assert_array_equal(loaded.apply(raw, codes), space.apply(raw, codes))
    assert Space.fit(raw, codes).fingerprint != space.fingerprint


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 truncated", b"\x93NUMPY"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes | None):
    path = tmp_path / "space.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(IndexDamaged, match=r"space\.npz"):
        Space.load(path)


def test_pickles_are_not_opened(tmp_path: Path):
    path = tmp_path / "space.npz"
    with path.open("wb") as file:
        np.savez(file, means=np.array([{}], dtype=object), matrix=np.eye(2), options=np.array("{}"))
    with pytest.raises(IndexDamaged):
        Space.load(path)


def test_an_array_that_claims_more_than_the_file_has(tmp_path: Path) -> None:
    """Room would be made for it before anything is read."""
    for shape, kind in (((10**10, 384), zipfile.ZIP_STORED), ((2, 2), zipfile.ZIP_DEFLATED)):
        header = io.BytesIO()
        form = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(header, form)
        with zipfile.ZipFile(tmp_path / "space.npz", "w", kind) as archive:
            archive.writestr("means.npy", header.getvalue() + bytes(100))
        with pytest.raises(IndexDamaged, match="claims"):
            Space.load(tmp_path / "space.npz")
