"""The columns of a table laid side by side as trees read them: numbers, then codes, then tokens."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

# More token columns than this make a single tree's dense table too large to be worth it.
DENSE_TOKENS = 512


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenCounts:
    """Counts of tokens per row in compressed sparse rows: ``data``, ``indices``, ``indptr [N + 1]``, ``width``."""

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    width: int

    def matrix(self) -> "csr_matrix":
        """The same counts as scipy's matrix ``[N, width]``, without a copy."""
        from scipy.sparse import csr_matrix

        return csr_matrix((self.data, self.indices, self.indptr), shape=(len(self.indptr) - 1, self.width))


def boosting_matrix(numbers: np.ndarray, codes: np.ndarray, tokens: "csr_matrix | None") -> "np.ndarray | csr_matrix":
    """Columns for LightGBM: ``[N, Dn + Kc]``, sparse ``[N, Dn + Kc + width]`` where there are tokens.

    Code 0 (missing) stays a category of its own, for a missing cell often says something. A
    negative code (unseen in training) becomes NaN: it belongs to no set of categories and takes
    the branch of the rest at every split, as a category too rare to be kept does.
    """
    dense = numbers
    if codes.shape[1]:
        dense = np.empty((len(numbers), numbers.shape[1] + codes.shape[1]), dtype=numbers.dtype)
        dense[:, : numbers.shape[1]] = numbers
        dense[:, numbers.shape[1] :] = np.where(codes < 0, np.nan, codes)
    if tokens is None:
        return np.ascontiguousarray(dense)
    from scipy.sparse import csr_matrix, hstack

    return csr_matrix(hstack([csr_matrix(dense), tokens.astype(dense.dtype)], format="csr"))


def splitting_matrix(
    numbers: np.ndarray,
    codes: np.ndarray,
    tokens: "csr_matrix | None",
    *,
    levels: list[list[int]],
    token_columns: list[int],
) -> np.ndarray:
    """Columns for a single tree: ``[N, Dn + Kc + len(token_columns)]``, float32 as scikit-learn keeps them.

    A code is replaced by its place in ``levels`` of its column; one that is not there is NaN.
    """
    largest = np.finfo(np.float32).max
    parts = [np.clip(numbers, -largest, largest).astype(np.float32)]
    for column, order in enumerate(levels):
        places = np.full(max(order, default=0) + 1, np.nan, dtype=np.float32)
        places[order] = np.arange(len(order), dtype=np.float32)
        code = codes[:, column]
        known = (code >= 0) & (code < len(places))
        parts.append(np.where(known, places[np.where(known, code, 0)], np.float32(np.nan))[:, None])
    if tokens is not None:
        parts.append(tokens[:, token_columns].toarray().astype(np.float32))
    return np.ascontiguousarray(np.hstack(parts))


def ordered_levels(codes: np.ndarray, response: np.ndarray, weight: np.ndarray) -> list[int]:
    """Codes of one column ordered by what they say of the target, for a split at a threshold.

    For one response the order by mean is the best there is (Fisher 1958, Breiman et al. 1984); for
    class indicators ``response [N, C]`` it is the first principal component of the class shares
    (Coppersmith et al. 1999), which is the same thing for two classes. Means are drawn towards the
    overall mean by ten rows' worth. Negative codes are left out.

    >>> ordered_levels(np.array([0, 0, 1, 1, 2]), np.array([[5.0], [5], [1], [1], [3]]), np.ones(5))
    [1, 2, 0]
    """
    seen = codes >= 0
    if not seen.any():
        return []
    known, place = np.unique(codes[seen], return_inverse=True)
    mass = np.bincount(place, weights=weight[seen], minlength=len(known))
    sums = np.stack([np.bincount(place, weights=weight[seen] * column[seen]) for column in response.T], axis=1)
    overall = sums.sum(axis=0) / max(float(mass.sum()), np.finfo(float).tiny)
    means = (sums + 10.0 * overall) / (mass[:, None] + 10.0)
    if response.shape[1] > 1:
        centred = means - overall
        direction = np.linalg.eigh((centred * mass[:, None]).T @ centred)[1][:, -1]
        score = centred @ (direction * np.sign(direction[np.argmax(np.abs(direction))]))
    else:
        score = means[:, 0]
    return [int(code) for code in known[np.lexsort((known, score))]]


def frequent_tokens(tokens: "csr_matrix") -> list[int]:
    """The columns that occur in most rows, at most ``DENSE_TOKENS`` of them, in ascending order."""
    occurrences = np.bincount(tokens.indices, minlength=tokens.shape[1])  # pyright: ignore[reportOptionalSubscript] a matrix has a shape
    best = np.lexsort((np.arange(len(occurrences)), -occurrences))[:DENSE_TOKENS]
    return sorted(int(column) for column in best if occurrences[column])
