"""Rows of (X'X + beta F F' + ridge I)^-1, in closed form or, for many items, by its spectrum."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

_SWEEPS = 4
_DEGREE = 2


class Inverse(Protocol):
    """A symmetric (n, n) inverse that need not be held as a whole."""

    @property
    def diagonal(self) -> np.ndarray:
        """(n,) float32."""
        ...

    def rows(self, start: int, stop: int) -> np.ndarray:
        """(stop - start, n) float32, the caller's to change."""
        ...


class ExactInverse:
    """By Cholesky: n^3 steps and 8 n^2 bytes.

    Parameters
    ----------
    gram : (n, n) scipy sparse float32, X'X.
    texts : (n, dim) float32, F.
    beta, ridge : as in the formula.

    Raises
    ------
    ValueError : the matrix is not positive definite in float32, the ridge being too small.
    """

    def __init__(self, gram: Any, texts: np.ndarray, beta: float, ridge: float) -> None:
        from scipy.linalg import lapack

        whole = gram.toarray(order="F")
        whole += np.float32(beta) * (texts @ texts.T)
        whole[np.diag_indices_from(whole)] += np.float32(ridge)
        factor, failed = lapack.spotrf(whole, lower=1, overwrite_a=1)
        if not failed:
            lower, failed = lapack.spotri(factor, lower=1, overwrite_c=1)
        if failed:
            raise ValueError("not positive definite: the ridge is too small")
        self._inverse = np.tril(lower) + np.tril(lower, -1).T
        self.diagonal = np.diag(self._inverse).copy()

    def rows(self, start: int, stop: int) -> np.ndarray:
        return self._inverse[start:stop].copy()


class SpectralInverse:
    """By the spectrum of X'X: n^2 (rank + dim) steps, and no (n, n) array.

    With G = X'X, its `rank` largest eigenvalues w and their eigenvectors V, and p the polynomial
    nearest to 1 / (x + ridge) on [0, w_rank]:
    `(G + ridge I)^-1 ~ p(G) + V diag(1 / (w + ridge) - p(w)) V'`. p(G) is sparse, the rest has a
    low rank. The texts follow by the Woodbury identity. p has degree 2 in Chebyshev nodes, so its
    relative error falls with the third power of about w_rank / (8 ridge).

    Parameters
    ----------
    gram : (n, n) scipy CSR float32, X'X.
    texts : (n, dim) float32, F.
    beta, ridge : as in the formula.
    rank : eigenvalues that are taken out.
    seed : of the subspace iteration that finds them.

    Attributes
    ----------
    error : largest relative error of p on [0, w_rank], and of what p and its correction leave of
        each other in float32 at the largest eigenvalue.
    """

    def __init__(
        self, gram: Any, texts: np.ndarray, beta: float, ridge: float, rank: int, seed: int = 0
    ) -> None:
        values, vectors = _largest(gram, min(rank, gram.shape[0]), seed)
        polynomial, error = _fit_polynomial(float(values[-1]), ridge)
        cancelled = abs(float(polynomial(values[0]))) * ridge * float(np.finfo(np.float32).eps)
        self.error: float = max(error, cancelled)
        weights = (1 / (values + ridge) - polynomial(values)).astype(np.float32)
        c0, c1, c2 = (np.float32(c) for c in polynomial.coef)

        once = gram @ texts
        solved = c0 * texts + c1 * once + c2 * (gram @ once)
        solved += (vectors * weights) @ (vectors.T @ texts)
        core = np.eye(texts.shape[1]) / beta + texts.T.astype(np.float64) @ solved
        turned = solved @ np.linalg.inv(core).astype(np.float32)

        self._gram, self._coefficients = gram, (c0, c1, c2)
        self._left = np.hstack([vectors * weights, -turned])
        self._right = np.ascontiguousarray(np.hstack([vectors, solved]).T)
        squares = np.asarray(gram.multiply(gram).sum(axis=1)).ravel()
        self.diagonal = (
            c0
            + c1 * gram.diagonal()
            + c2 * squares
            + np.einsum("ij,ji->i", self._left, self._right)
        ).astype(np.float32)

    def rows(self, start: int, stop: int) -> np.ndarray:
        c0, c1, c2 = self._coefficients
        part = self._gram[start:stop]
        block: np.ndarray = (c1 * part + c2 * (part @ self._gram)).toarray()
        block[np.arange(stop - start), np.arange(start, stop)] += c0
        block += self._left[start:stop] @ self._right
        return block


def _largest(gram: Any, rank: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(rank,) float64 eigenvalues, largest first, and (n, rank) float32 eigenvectors.

    Subspace iteration with a quarter more vectors than wanted (Halko et al. 2011).
    """
    n = gram.shape[0]
    start = np.random.default_rng(seed).standard_normal((n, min(n, rank + rank // 4 + 1)))
    basis = np.linalg.qr(start.astype(np.float32))[0]
    for _ in range(_SWEEPS):
        basis = np.linalg.qr(gram @ basis)[0]
    values, turn = np.linalg.eigh((basis.T @ (gram @ basis)).astype(np.float64))
    order = np.argsort(-values)[:rank]
    return np.maximum(values[order], 0), basis @ turn[:, order].astype(np.float32)


def _fit_polynomial(end: float, ridge: float) -> tuple[np.polynomial.Polynomial, float]:
    """1 / (x + ridge) on [0, end] in Chebyshev nodes, and the largest relative error there.

    A very short interval would leave the polynomial undetermined beyond it.
    """
    nodes = (1 - np.cos((np.arange(64) + 0.5) * np.pi / 64)) / 2 * max(end, 0.1 * ridge)
    fitted = np.polynomial.Polynomial.fit(nodes, 1 / (nodes + ridge), _DEGREE).convert()
    return fitted, float(np.abs(fitted(nodes) * (nodes + ridge) - 1).max())
