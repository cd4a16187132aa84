"""The table that all lanes of trees share, kept as files that every worker maps into its memory."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lanewise.errors import DataError
from lanewise.models.tree_matrix import TokenCounts

# float32 holds whole numbers exactly up to here; LightGBM reads a category from a float column.
_LARGEST_CODE = 1 << 24

MASKS = ("numbers", "categories", "tokens")
"""The masks that say which columns a lane may split on: uint8 ``[Dn]``, ``[Kc]`` and ``[H]``."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TreeData:
    """Rows for trees.

    ``numbers [N, Dn]`` float32 or float64 with NaN for missing; ``codes [N, Kc]`` whole numbers,
    0 for missing and negative for unseen; ``tokens`` optional counts per row; ``target [N]``:
    class indices, counts or numbers; ``weight [N]`` or None (class weights go in here).

    Raises ``DataError`` where the parts do not fit together.
    """

    numbers: np.ndarray
    codes: np.ndarray
    target: np.ndarray
    tokens: TokenCounts | None = None
    weight: np.ndarray | None = None

    def __post_init__(self) -> None:
        rows = len(self.target)
        lengths = [len(self.numbers), len(self.codes)]
        lengths += [len(self.tokens.indptr) - 1] if self.tokens is not None else []
        lengths += [len(self.weight)] if self.weight is not None else []
        if any(length != rows for length in lengths):
            message = f"all parts need the target's {rows} rows, got {lengths}"
            raise DataError(message)
        if self.numbers.ndim != 2 or self.codes.ndim != 2 or self.columns == 0:
            message = f"trees need at least one column, got numbers {self.numbers.shape} and codes {self.codes.shape}"
            raise DataError(message)
        if self.numbers.dtype not in (np.float32, np.float64) or self.codes.dtype.kind != "i":
            message = f"numbers must be float and codes whole, got {self.numbers.dtype} and {self.codes.dtype}"
            raise DataError(message)
        if self.codes.size and self.codes.max() >= _LARGEST_CODE:
            message = f"codes must be below {_LARGEST_CODE}, got {self.codes.max()}: merge the rare categories first"
            raise DataError(message)
        if not np.isfinite(self.target).all():
            message = "the target has missing or infinite values: leave those rows out"
            raise DataError(message)
        if self.weight is not None and not (np.isfinite(self.weight).all() and (self.weight >= 0).all()):
            message = "weights must be finite and not negative"
            raise DataError(message)

    @property
    def rows(self) -> int:
        return len(self.target)

    @property
    def columns(self) -> int:
        return self.numbers.shape[1] + self.codes.shape[1] + (self.tokens.width if self.tokens is not None else 0)

    def write(self, folder: Path) -> None:
        """One .npy file per part; only the owner of ``folder`` may read them."""
        parts = {"numbers": self.numbers, "codes": self.codes, "target": np.asarray(self.target, dtype=np.float64)}
        if self.weight is not None:
            parts["weight"] = np.asarray(self.weight, dtype=np.float64)
        if self.tokens is not None:
            parts |= {f"tokens_{name}": getattr(self.tokens, name) for name in ("data", "indices", "indptr")}
            parts["tokens_width"] = np.array([self.tokens.width])
        for name, array in parts.items():
            np.save(folder / f"{name}.npy", np.ascontiguousarray(array), allow_pickle=False)

    @staticmethod
    def read(folder: Path) -> "TreeData":
        """The same table, mapped: pages are shared by all workers and read on demand."""
        names = {name.removesuffix(".npy") for name in os.listdir(folder)}

        def part(name: str) -> np.ndarray:
            path = folder / f"{name}.npy"
            # An empty file cannot be mapped.
            mode = "r" if path.stat().st_size > 256 else None
            return np.load(path, allow_pickle=False, mmap_mode=mode)

        tokens = None
        if "tokens_data" in names:
            arrays = {name: part(f"tokens_{name}") for name in ("data", "indices", "indptr")}
            tokens = TokenCounts(**arrays, width=int(part("tokens_width")[0]))
        return TreeData(
            numbers=part("numbers"),
            codes=part("codes"),
            target=part("target"),
            tokens=tokens,
            weight=part("weight") if "weight" in names else None,
        )
