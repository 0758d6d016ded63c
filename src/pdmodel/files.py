"""Files that are there whole or not at all, whenever the program or the power ends."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DRAFT = ".draft-"
"""What folders of drafts begin with; one that a killed program left may be removed."""


@contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """Give the name of a draft, which takes the place of a file once it is written and on disk.

    Parameters
    ----------
    path : Path
        The file; it stays as it was if anything goes wrong.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=DRAFT) as scratch:
        draft = Path(scratch) / path.name
        yield draft
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.replace(path)


def whole(path: Path, content: bytes) -> None:
    """Write a file in full under another name, flush it to disk, then rename it."""
    with draft_of(path) as draft:
        draft.write_bytes(content)


def checksum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(*parts: bytes) -> str:
    """SHA-256 of bytes, one part after the other, in hexadecimal."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()


def clear_drafts(folder: Path) -> None:
    """Remove drafts that a killed program left in a folder that nobody else writes into."""
    for scratch in folder.glob(f"{DRAFT}*"):
        shutil.rmtree(scratch, ignore_errors=True)
