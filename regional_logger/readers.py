"""What aggregators have said: their generation, and what they acknowledged.

A generation is when a combined database was made or restored.  A lower one than
was seen before is an aggregator back from the dead: it may read nothing and
acknowledge nothing, for what it knows is not what is safe.

Acknowledgements of closed streams and ended lives are files beside them,
`<id>.acknowledged`, so that they survive a restart; the file's time begins the
time that is still kept.  That of a stream says which end is meant: a file with
another history may come to lie under the same name.  A higher generation knows
less than the one before it: everything that was acknowledged has to be
acknowledged again.
"""

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import orjson

from milepost.errors import ConflictError
from milepost.files import put_in_place
from milepost.logs import get_log
from milepost.stream.files import ACKNOWLEDGED_SUFFIX
from milepost.vocabulary import Generation, Millis
from milepost.wire import Life, PullRequest, StreamHead

log = get_log(__name__)

FILE = "readers.json"
READERS_MAX = 16
GENERATION_AHEAD_MS_MAX = 60 * 60 * 1000  # as far as clocks may differ


@dataclass(frozen=True, slots=True)
class Asking:
    """Who pulls."""

    reader: str
    generation: Generation
    may_acknowledge: bool


class ReaderBook:
    """Remembers readers in the log's folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / FILE
        self._generations: dict[str, int] = {}
        self._marked: dict[bytes, str] = {}
        self._damaged = False
        try:
            self._generations = dict(orjson.loads(self._path.read_bytes()))
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError) as error:
            self._damaged = True  # visitors are answered all the same
            log.warning("readers.damaged", file=FILE, reason=type(error).__name__)

    def admit(self, asking: Asking, now: Millis) -> None:
        """Let a reader go on, unless it is older than one seen before.

        Only one that may acknowledge is remembered: for the others there is
        nothing that an older copy of them could harm.
        """
        reader, generation = asking.reader, asking.generation
        if generation > now + GENERATION_AHEAD_MS_MAX:
            msg = f"generation {generation} of {reader!r} lies in the future"
            raise ConflictError(msg)
        if self._damaged:
            msg = f"{FILE} is damaged: remove it if no older copy of the aggregator can come back"
            raise ConflictError(msg)
        highest = self._generations.get(reader, 0)
        if generation < highest:
            msg = f"generation {generation} of {reader!r} is older than {highest}, seen here before"
            raise ConflictError(msg)
        if generation == highest or not asking.may_acknowledge:
            return
        if reader not in self._generations and len(self._generations) >= READERS_MAX:
            msg = f"{READERS_MAX} readers are known here; remove {FILE} to begin anew"
            raise ConflictError(msg)
        self._generations[reader] = generation
        self._marked.clear()
        try:
            for mark in self._folder.glob(f"*{ACKNOWLEDGED_SUFFIX}"):
                mark.unlink()
            put_in_place(self._path, orjson.dumps(self._generations))
        except OSError as error:
            # What is acknowledged may be what makes room, so this life goes on with it.
            log.warning("readers.not_written", reason=error.strerror)

    def acknowledge(
        self, request: PullRequest, heads: Iterable[StreamHead], lives: Iterable[Life]
    ) -> None:
        """Note which closed streams are safe to their very end, and which ended lives."""
        if request.generation < self._generations.get(request.reader, 0):
            return  # a newer copy came while this one waited
        for head in heads:
            told = request.acknowledged.get(head.id)
            if not head.open and told == (head.last_seq, head.last_chain):
                self._mark(head.id, end_text(head))
        for life in lives:
            if not life.alive and life.id in request.ended:
                self._mark(life.id)

    def is_acknowledged(self, head: StreamHead) -> bool:
        """Tell whether this very end of a closed stream was acknowledged in this generation."""
        if head.open:
            return False
        if head.id not in self._marked:
            with contextlib.suppress(OSError, ValueError):
                self._marked[head.id] = self._mark_of(head.id).read_text()
        return self._marked.get(head.id) == end_text(head)

    def _mark_of(self, what: bytes) -> Path:
        return self._folder / f"{what.hex()}{ACKNOWLEDGED_SUFFIX}"

    def _mark(self, what: bytes, end: str = "") -> None:
        mark = self._mark_of(what)
        if self._marked.get(what) == end and mark.exists():
            return
        try:
            if not mark.exists() or mark.read_text() != end:
                _write_mark(mark, end)
                log.info("acknowledgement.kept", id=what.hex())
        except (OSError, ValueError) as error:  # it will be acknowledged again
            log.warning("acknowledgement.not_kept", reason=type(error).__name__)
        else:
            self._marked[what] = end


def _write_mark(mark: Path, end: str) -> None:
    descriptor = os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        # On a full disk there is room for a name and none for bytes.  An empty mark stands for
        # whatever lies there: what makes room must not need any.
        with contextlib.suppress(OSError):
            os.write(descriptor, end.encode())
        os.utime(descriptor)  # the time that is still kept begins now, whatever was written
    finally:
        os.close(descriptor)


def end_text(head: StreamHead) -> str:
    """Return what a stream's mark says: which end was acknowledged."""
    return f"{head.last_seq} {head.last_chain.hex()}"
