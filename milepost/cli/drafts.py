"""Files that a command makes: whole, or not at all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

DRAFT = ".part"


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[BinaryIO]:
    """Lend a file for writing that takes the place of *path* once all is in it."""
    draft = path.with_name(path.name + DRAFT)
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            yield out
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
