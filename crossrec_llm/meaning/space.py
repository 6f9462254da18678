"""Raw vectors -> index vectors: centred per top category, half-whitened.

`f_i = norm((e_i - mean(c_i)) V diag((lambda + 1e-3 lambda_max)^(-p/2)))`, where V and lambda are
the eigenvectors and eigenvalues of the covariance of the centred vectors. Centring takes away
what all items of a category share; whitening (Su et al. 2021, "Whitening sentence
representations", here to the power p) keeps a few directions from deciding every cosine.
"""

from __future__ import annotations

import hashlib
import json
import math
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Le

from crossrec_llm.errors import IndexDamaged
from crossrec_llm.records import STRICT

_RIDGE = 1e-3
_CHUNK = 8192
# Below this length a centred unit vector is rounding noise.
_NOTHING = 1e-5


@dataclass(frozen=True)
class SpaceOptions:
    """The transform from raw vectors to index vectors.

    Parameters
    ----------
    power : 0 leaves the scales as they are, 1 makes all directions equally strong.
    centre : what is subtracted: the mean of an item's top category, or of all items.
    min_items : a top category with fewer items takes the mean of all.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    power: Annotated[float, Ge(0), Le(1)] = 0.5
    centre: Literal["top_category", "global"] = "top_category"
    min_items: Annotated[int, Ge(1)] = 10


class Space:
    """A fitted transform.

    Parameters
    ----------
    means : (n_categories + 1, dim) float32 centre of each top category, last that of all items.
    matrix : (dim, dim) float32, V diag(...).
    options : what it was fitted with.
    """

    def __init__(self, means: np.ndarray, matrix: np.ndarray, options: SpaceOptions) -> None:
        self._means, self._matrix, self.options = means, matrix, options

    @classmethod
    def fit(
        cls, raw: np.ndarray, codes: np.ndarray, options: SpaceOptions = SpaceOptions()
    ) -> Space:
        """Fit on (n, dim) unit rows and their (n,) top category codes.

        Works from no rows on: where all centred vectors are zero the scales stay as they are.
        """
        n, dim = raw.shape
        means = _means(raw, codes, options)
        covariance = np.zeros((dim, dim))
        for start in range(0, n, _CHUNK):
            part = slice(start, start + _CHUNK)
            centred = raw[part].astype(np.float64) - means[_groups(codes[part], len(means))]
            covariance += centred.T @ centred
        values, vectors = np.linalg.eigh(covariance / max(n, 1))
        values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
        # An eigenvector's sign is arbitrary; fixing it makes the bytes of two fits equal.
        strongest = np.abs(vectors).argmax(axis=0)
        vectors = vectors * np.sign(vectors[strongest, np.arange(dim)])
        damped = values + _RIDGE * values[0]
        scales = damped ** (-options.power / 2) if values[0] > _NOTHING**2 else np.ones(dim)
        return cls(means.astype(np.float32), (vectors * scales).astype(np.float32), options)

    def apply(self, raw: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """(n, dim) float32 unit rows of (n, dim) raw rows with (n,) top category codes.

        A code that was not there when the space was fitted takes the mean of all items. A row
        that equals its centre (a single item, a category of equal texts) has no direction of its
        own left: it is transformed without centring, so that no row is zero.
        """
        out = np.empty((len(raw), self._matrix.shape[1]), dtype=np.float32)
        for start in range(0, len(raw), _CHUNK):
            part = slice(start, start + _CHUNK)
            rows = np.asarray(raw[part], dtype=np.float32)
            centred = rows - self._means[_groups(codes[part], len(self._means))]
            nothing = np.linalg.norm(centred, axis=1) < _NOTHING
            centred[nothing] = rows[nothing]
            turned = centred @ self._matrix
            out[part] = turned / np.linalg.norm(turned, axis=1, keepdims=True)
        return out

    @property
    def fingerprint(self) -> str:
        """Hash of the options and of every number."""
        digest = hashlib.sha256(json.dumps(asdict(self.options), sort_keys=True).encode())
        for array in (self._means, self._matrix):
            digest.update(np.ascontiguousarray(array, dtype="<f4").tobytes())
        return digest.hexdigest()

    def save(self, path: Path) -> None:
        """Write an .npz; equal spaces give equal bytes."""
        options = np.array(json.dumps(asdict(self.options), sort_keys=True))
        with path.open("wb") as file:
            np.savez(file, means=self._means, matrix=self._matrix, options=options)

    @classmethod
    def load(cls, path: Path) -> Space:
        """Read what `save` wrote.

        Raises
        ------
        IndexDamaged : the file is missing or is something else.
        """
        try:
            _require_claims(path)
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                options = SpaceOptions(**json.loads(str(stored["options"])))
                return cls(stored["means"], stored["matrix"], options)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise IndexDamaged(f"{path} is no readable space ({error}): build again") from error


def _require_claims(path: Path) -> None:
    """Refuse arrays that claim to be larger than the file, before room is made for them."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as file:
                read_header = {
                    (1, 0): np.lib.format.read_array_header_1_0,
                    (2, 0): np.lib.format.read_array_header_2_0,
                }[np.lib.format.read_magic(file)]
                shape, _, dtype = read_header(file)
            claimed = math.prod(shape) * dtype.itemsize
            if member.compress_type != zipfile.ZIP_STORED or claimed > path.stat().st_size:
                raise ValueError(f"{member.filename} claims {claimed:,} bytes")


def _means(raw: np.ndarray, codes: np.ndarray, options: SpaceOptions) -> np.ndarray:
    """(n_categories + 1, dim) float64 centres; the last row is the mean of all."""
    n, dim = raw.shape
    overall = raw.mean(axis=0, dtype=np.float64) if n else np.zeros(dim)
    if options.centre == "global" or not n:
        return overall[None]
    counts = np.bincount(codes, minlength=1)
    means = np.tile(overall, (len(counts) + 1, 1))
    for code in np.flatnonzero(counts >= options.min_items):
        means[code] = raw[codes == code].mean(axis=0, dtype=np.float64)
    return means


def _groups(codes: np.ndarray, n_means: int) -> np.ndarray:
    """Row of the centre of each code; unknown codes take the last."""
    codes = np.asarray(codes, dtype=np.int64)
    return np.where((codes >= 0) & (codes < n_means - 1), codes, n_means - 1)
