"""A saved model: a folder of tensors, texts and a manifest, in which every byte is covered by a checksum.

::

    model/
    |-- model.json            schema version, manifest, SHA-256 and size of each file, SHA-256 of all that
    |-- model.safetensors     the tensors
    `-- booster.txt           any further texts, by their own names

Nothing in it is executed or unpickled. The folder appears whole or not at all, also when it replaces another.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, final, overload

from lanewise.errors import StoreError
from lanewise.storage.durable import (
    Digest,
    confine,
    current_folder,
    dump_json,
    is_plain_name,
    parse_json,
    read_verified,
    replaced_folder,
    write_file,
)
from lanewise.storage.filesystem import DISK, FileSystem, explained
from lanewise.storage.strict_json import read_bounded
from lanewise.storage.tensorfile import Framework, read_tensors, write_tensors

if TYPE_CHECKING:
    import numpy as np
    import torch

ArrayT = TypeVar("ArrayT")

SCHEMA_VERSION = 1
MANIFEST = "model.json"
TENSORS = "model.safetensors"
_READS = 3  # a replacement may slip in between the files of one read


@final
@dataclass(frozen=True, kw_only=True)
class SavedModel(Generic[ArrayT]):
    """A model as it was saved: every byte was compared with its checksum. ``sha256`` names this very model."""

    manifest: Mapping[str, Any]
    tensors: Mapping[str, ArrayT]
    texts: Mapping[str, str]
    sha256: str


def save_model(
    folder: Path,
    tensors: "Mapping[str, torch.Tensor | np.ndarray]",
    manifest: Mapping[str, Any],
    texts: Mapping[str, str] | None = None,
    *,
    verify: bool = False,
    fs: FileSystem = DISK,
) -> str:
    """Write a model durably to ``folder`` and return its SHA-256, in place of any that was there.

    The SHA-256 is taken over the manifest with the SHA-256 and size of every file, as JSON with sorted keys, so
    equal models have equal ones. With ``verify`` each file is read back before the model takes its place. There must
    be one writer of a folder at a time; the folder above it must exist.

    Raises:
        StoreError: a tensor or value that cannot be kept, a full disk, a missing permission.
        UsageError: a text whose name is not plain (see :func:`lanewise.storage.durable.confine`).
    """
    encoded = {name: _encoded(text, name) for name, text in (texts or {}).items()}
    for name in encoded:
        if confine(folder, name).name in (MANIFEST, TENSORS):
            msg = f"a text cannot be named {name!r}: that file is the model's own; choose another name"
            raise StoreError(msg)
    dump_json(manifest)  # what cannot be written is refused before any tensor is
    with replaced_folder(folder, fs=fs) as part:
        files = {TENSORS: write_file(part / TENSORS, lambda file: write_tensors(tensors, file), verify=verify, fs=fs)}
        for name, text in sorted(encoded.items()):
            files[name] = write_file(part / name, text, verify=verify, fs=fs)
        content = {
            "schema_version": SCHEMA_VERSION,
            "manifest": manifest,
            "files": {name: {"sha256": file.sha256, "size": file.size} for name, file in files.items()},
        }
        sha256 = _sha256(content)
        write_file(part / MANIFEST, dump_json({**content, "sha256": sha256}), verify=verify, fs=fs)
    return sha256


@overload
def load_model(
    folder: Path, framework: Literal["torch"] = "torch", *, fs: FileSystem = DISK
) -> "SavedModel[torch.Tensor]": ...
@overload
def load_model(folder: Path, framework: Literal["numpy"], *, fs: FileSystem = DISK) -> "SavedModel[np.ndarray]": ...
def load_model(folder: Path, framework: Framework = "torch", *, fs: FileSystem = DISK) -> SavedModel[Any]:
    """Read a saved model, comparing every byte with its checksum; each file is read once.

    The tensors are writable and share one block of memory.

    Raises:
        StoreError: a file is missing, unknown, damaged or oversized, or was written by a newer version.
    """
    for _ in range(_READS - 1):
        before = _manifest_bytes(folder, fs)
        try:
            return _load(folder, before, framework, fs)
        except StoreError:
            if _manifest_bytes(folder, fs) == before:
                raise
    return _load(folder, _manifest_bytes(folder, fs), framework, fs)


def load_manifest(folder: Path, *, fs: FileSystem = DISK) -> Mapping[str, Any]:
    """Read only the manifest of a saved model; loads neither torch nor numpy.

    Raises:
        StoreError: it is missing, damaged, or was written by a newer version.
    """
    return _check(_manifest_bytes(folder, fs), folder / MANIFEST)["manifest"]


def gone(folder: Path, *, fs: FileSystem = DISK) -> tuple[str, ...]:
    """Which of the two files that every saved model has are no longer there; reads neither."""
    place = current_folder(folder, fs=fs)
    return tuple(name for name in (MANIFEST, TENSORS) if fs.kind(place / name) is None)


def _load(folder: Path, data: bytes, framework: Framework, fs: FileSystem) -> SavedModel[Any]:
    content = _check(data, folder / MANIFEST)
    place = current_folder(folder, fs=fs)
    files = {name: Digest(**fields) for name, fields in content["files"].items()}
    with explained("read", folder):
        # Hidden names are never read: an operating system may leave its own there (.DS_Store).
        unknown = {name for name in fs.names(place) if not name.startswith(".")} - files.keys() - {MANIFEST}
    if unknown:
        msg = f"{folder} holds files that the model does not have: {', '.join(sorted(unknown))}; move them elsewhere"
        raise StoreError(msg)
    texts = {}
    for name, digest in files.items():
        if name != TENSORS:
            texts[name] = _decoded(read_verified(place / name, digest, fs=fs), folder / name)
    tensors = read_tensors(
        read_verified(place / TENSORS, files[TENSORS], fs=fs), framework, source=str(folder / TENSORS)
    )
    return SavedModel(manifest=content["manifest"], tensors=tensors, texts=texts, sha256=content["sha256"])


def _encoded(text: str, name: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        msg = f"text {name!r} cannot be kept: character {error.start} is half of a pair; correct the text"
        raise StoreError(msg) from None


def _decoded(data: bytearray, path: Path) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        msg = f"{path} is damaged: byte {error.start} is not UTF-8; restore it from a backup"
        raise StoreError(msg) from None


def _manifest_bytes(folder: Path, fs: FileSystem) -> bytes:
    return read_bounded(current_folder(folder, fs=fs) / MANIFEST, fs=fs)


def _check(data: bytes, path: Path) -> dict[str, Any]:
    """Return the content of a manifest of which every byte, spaces too, is as it was written."""
    content = parse_json(data, source=str(path))
    if isinstance(content, dict):
        version = content.get("schema_version")
        if isinstance(version, int) and version > SCHEMA_VERSION:
            msg = (
                f"{path} was written by a newer Lanewise (schema {version}, this one reads up to {SCHEMA_VERSION}); "
                "upgrade with `pip install -U lanewise`"
            )
            raise StoreError(msg)
        rest = {key: value for key, value in content.items() if key != "sha256"}
        if content.get("sha256") == _sha256(rest) and dump_json(content) == data and _is_complete(content):
            return content
    msg = f"{path} is damaged: its content does not match its checksum; restore the model from a backup"
    raise StoreError(msg)


def _is_complete(content: Mapping[str, Any]) -> bool:
    """Say whether a manifest that matches its checksum has the fields of this schema, and no path but plain names."""
    match content:
        case {"schema_version": 1, "manifest": dict(), "files": dict(files), "sha256": str(), **rest} if not rest:
            return TENSORS in files and all(_is_file(name, fields) for name, fields in files.items())
    return False


def _is_file(name: str, fields: object) -> bool:
    match fields:
        case {"sha256": str(), "size": int(), **rest}:
            return is_plain_name(name) and not rest
    return False


def _sha256(content: Mapping[str, Any]) -> str:
    import hashlib  # here, as it takes as long as looking whether a model is there

    return hashlib.sha256(dump_json(content, sort_keys=True)).hexdigest()
