"""Small files that are there whole or not at all, and for their owner alone."""

import os
from pathlib import Path


def put_in_place(path: Path, content: bytes, *, synced: bool = True) -> None:
    """Put *content* in the place of what *path* holds, from one moment to the next.

    Without *synced* a power cut may leave it empty: for what can be made again, in a hurry.
    """
    draft = path.with_suffix(".tmp")
    write_whole(draft, content, synced=synced)
    draft.replace(path)


def write_whole(path: Path, content: bytes, *, new: bool = False, synced: bool = True) -> None:
    """Write *content* to *path*; with *new*, replace nothing."""
    mode = os.O_EXCL if new else os.O_TRUNC
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | mode, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)  # it may have been left there by somebody else
        file.write(content)
        file.flush()
        if synced:
            os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    """Make the names in *folder* durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
