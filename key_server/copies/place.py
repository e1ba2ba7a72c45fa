"""Where copies are put.

A folder for now.  An object store needs the same three verbs, and nothing else
of this package knows where a copy goes.
"""

import contextlib
from pathlib import Path
from typing import Protocol

from key_server.copies.names import DRAFT
from milepost.errors import UnavailableError
from milepost.files import sync_folder, write_whole


class Place(Protocol):
    """Holds copies by name."""

    def put(self, name: str, content: bytes) -> None:
        """Keep *content* under *name*, whole or not at all, and durably."""

    def names(self) -> tuple[str, ...]:
        """Return the names of all that is kept."""

    def delete(self, name: str) -> None:
        """Keep *name* no longer; it may have gone already."""


class FolderPlace:
    """A folder, made when it is first used and readable by its owner alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, name: str, content: bytes) -> None:
        """Write a draft, sync it, give it its name, sync the folder."""
        draft = self._folder / (name + DRAFT)
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(draft, content)
            draft.replace(self._folder / name)
            sync_folder(self._folder)
        except OSError as error:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            raise UnavailableError(self._words(error)) from error

    def names(self) -> tuple[str, ...]:
        """Return the names of all files in the folder."""
        try:
            return tuple(path.name for path in self._folder.iterdir())
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise UnavailableError(self._words(error)) from error

    def delete(self, name: str) -> None:
        """Remove the file, durably."""
        try:
            (self._folder / name).unlink(missing_ok=True)
            sync_folder(self._folder)
        except OSError as error:
            raise UnavailableError(self._words(error)) from error

    def _words(self, error: OSError) -> str:
        return f"copies of the keys in {self._folder}: {error.strerror or error}"
