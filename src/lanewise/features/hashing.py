"""Text as counts of words and character n-grams, hashed into a fixed number of buckets."""

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_WORD = r"\w+"
_PRIME = np.uint32(0x01000193)


def count_buckets(texts: pl.Series, *, buckets: int, character_ngrams: Sequence[int] = (3,)) -> "csr_array":
    """Counts ``[N, buckets]`` (float32, CSR) of the words of each text and of their character n-grams.

    Text is brought to NFKC and lower case; a word is a run of letters, digits and underscores; n-grams are cut
    from each word with one space on either side, and not across words. A missing text has no words. The hash
    (CRC-32 of words, FNV-style of n-grams, then the 32-bit finalizer of MurmurHash3) depends on nothing but the
    characters: not on the process, the platform or the other rows.

    Chosen by log loss on SMS spam, Banking77 and SST-2 (logistic regression on tf-idf, 1024 buckets): words with
    3-grams .060, .452, .532; words alone .071, .528, .561; words with 3- to 5-grams .069, .422, .554 at twice the
    time. Pairs of words only filled the buckets: they were worse than words alone on two of the three.

    >>> count_buckets(pl.Series(["a", "A, a!", None]), buckets=8, character_ngrams=()).sum(axis=1).tolist()
    [1.0, 2.0, 0.0]
    """
    from scipy.sparse import csr_array

    words = pl.DataFrame({"words": texts.cast(pl.String).str.normalize("NFKC").str.to_lowercase()})
    words = words.select(pl.col("words").str.extract_all(_WORD)).with_row_index("row")
    words = words.explode("words").drop_nulls()
    vocabulary = words.get_column("words").unique(maintain_order=True)
    shape = (texts.len(), vocabulary.len())
    if vocabulary.is_empty():
        return csr_array((texts.len(), buckets), dtype=np.float32)
    positions = words.get_column("words").cast(pl.Enum(vocabulary)).to_physical().to_numpy()
    occurrences = _count(words.get_column("row").to_numpy(), positions, shape=shape)
    counts = occurrences @ _vocabulary_buckets(vocabulary.to_list(), buckets, character_ngrams)
    counts = csr_array(counts, dtype=np.float32)
    counts.sort_indices()
    return counts


def _vocabulary_buckets(vocabulary: list[str], buckets: int, sizes: Sequence[int]) -> "csr_array":
    """How often each word ``[V]`` of the vocabulary falls into each bucket, itself and its n-grams together."""
    itself = np.fromiter((zlib.crc32(word.encode()) for word in vocabulary), dtype=np.uint32, count=len(vocabulary))
    owners, hashes = [np.arange(len(vocabulary))], [_finalize(itself)]
    padded = [f" {word} " for word in vocabulary]
    units = np.frombuffer("".join(padded).encode("utf-32-le"), dtype="<u4").astype(np.uint32)
    owner = np.repeat(np.arange(len(vocabulary)), [len(word) for word in padded])
    for size in sizes:
        starts = max(0, len(units) - size + 1)
        gram = np.full(starts, size, dtype=np.uint32)
        for offset in range(size):
            gram = (gram ^ units[offset : offset + starts]) * _PRIME
        inside = owner[:starts] == owner[len(owner) - starts :]
        owners.append(owner[:starts][inside])
        hashes.append(_finalize(gram[inside]))
    bucket = (np.concatenate(hashes) % np.uint32(buckets)).astype(np.int64)
    return _count(np.concatenate(owners), bucket, shape=(len(vocabulary), buckets))


def _count(rows: np.ndarray, columns: np.ndarray, *, shape: tuple[int, int]) -> "csr_array":
    """How often each pair of row and column occurs; pairs that occur twice are added up."""
    from scipy.sparse import coo_array, csr_array

    ones = np.ones(len(rows), dtype=np.float32)
    return csr_array(coo_array((ones, (rows, columns)), shape=shape))


def _finalize(hashes: np.ndarray) -> np.ndarray:
    """MurmurHash3's last step, so that every bit of the result depends on every bit of the hash."""
    hashes = (hashes ^ (hashes >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    hashes = (hashes ^ (hashes >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return hashes ^ (hashes >> np.uint32(16))
