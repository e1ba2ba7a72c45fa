"""The registry of random histories: it comes and goes, and finds an older database."""

import shutil
from contextlib import AsyncExitStack
from pathlib import Path

from milepost.mark.file import mark_path
from milepost.vocabulary import Millis, Position
from tests.edge.links_histories_model import Model, State, copy_database
from tests.link_registry.registry_world import Registry, running_registry


class Office:
    """The registry, which comes and goes, and finds another database now and then."""

    def __init__(self, folder: Path, model: Model) -> None:
        self.registry: Registry | None = None
        self._folder = folder
        self._model = model
        self._now = Millis(1_000)
        self._stack = AsyncExitStack()
        self._copies: list[tuple[Path, dict[Position, State]]] = []
        folder.mkdir()

    @property
    def port(self) -> int | None:
        """Return where it listens, if it runs."""
        return self.registry.server.port if self.registry else None

    @property
    def database(self) -> Path:
        """Return where the links are."""
        return self._folder / "links.db"

    async def start(self) -> None:
        """Begin with what is on disk."""
        await self.stop()
        self.registry = await self._stack.enter_async_context(running_registry(self._folder))
        self.registry.clock.at = self._now
        await self._model.note(self.registry)

    async def stop(self) -> None:
        """End."""
        if self.registry is not None:
            self._now = self.registry.clock.at
            self.registry = None
        await self._stack.aclose()

    def back_up(self) -> None:
        """Copy database and mark."""
        copy = self._folder / f"copy-{len(self._copies)}.db"
        copy_database(self.database, copy)
        shutil.copy(mark_path(self.database), mark_path(copy))
        self._copies.append((copy, dict(self._model.line)))

    async def put_back(self, number: int, *, how: str) -> None:
        """Start with an older copy: restored beside its mark, without one, or with its own."""
        if not self._copies:
            return
        await self.stop()
        copy, line = self._copies[number % len(self._copies)]
        for path in self._folder.glob(f"{self.database.name}-*"):
            path.unlink()
        if how == "with its mark":  # into the same file, as when a whole disk is set back
            self.database.write_bytes(copy.read_bytes())
            mark_path(self.database).write_bytes(mark_path(copy).read_bytes())
        else:
            restored = self._folder / "restored.db"
            shutil.copy(copy, restored)
            restored.replace(self.database)
        if how == "without a mark":
            mark_path(self.database).unlink()
        self._model.line = dict(line)
        await self.start()
