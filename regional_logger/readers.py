"""What aggregators have said: their generation, and what they acknowledged.

A generation is when a combined database was made or restored.  A lower one than
was seen before is an aggregator back from the dead: it may read nothing and
acknowledge nothing, for what it knows is not what is safe.

Acknowledgements of closed streams are files beside them, `<stream>.acknowledged`,
so that they survive a restart; the file's time begins the time it is still kept.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import orjson

from milepost.errors import ConflictError
from milepost.logs import get_log
from milepost.vocabulary import Generation, StreamId
from milepost.wire import Cursor, StreamHead

log = get_log(__name__)

SUFFIX = ".acknowledged"
FILE = "readers.json"
READERS_MAX = 16


class ReaderBook:
    """Remembers readers in the log's folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / FILE
        self._generations: dict[str, int] = {}
        if self._path.exists():
            self._generations = orjson.loads(self._path.read_bytes())

    def admit(self, reader: str, generation: Generation) -> None:
        """Let *reader* go on, unless it is older than one seen before."""
        highest = self._generations.get(reader, 0)
        if generation < highest:
            msg = f"generation {generation} of {reader!r} is older than {highest}, seen here before"
            raise ConflictError(msg)
        if generation == highest:
            return
        if reader not in self._generations and len(self._generations) >= READERS_MAX:
            msg = f"{READERS_MAX} readers are known here; remove {FILE} to begin anew"
            raise ConflictError(msg)
        self._generations[reader] = generation
        draft = self._path.with_suffix(".tmp")
        draft.write_bytes(orjson.dumps(self._generations))
        draft.replace(self._path)

    def acknowledge(
        self, acknowledged: Mapping[StreamId, Cursor], heads: Iterable[StreamHead]
    ) -> None:
        """Note which closed streams are safe to their very end."""
        for head in heads:
            told = acknowledged.get(head.id)
            if head.open or told is None or told != (head.last_seq, head.last_chain):
                continue
            mark = self._folder / f"{head.id.hex()}{SUFFIX}"
            if not mark.exists():
                mark.touch()
                log.info("stream.acknowledged", stream=head.id.hex(), seq=head.last_seq)
