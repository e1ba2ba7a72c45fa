"""Reading a restored stream as answers, like those of an edge, and disbelieving it as much.

What is read goes through the door of the network (`parse_answer`): whatever a
damaged or a planted file holds, it is refused in the same words.
"""

from dataclasses import dataclass
from pathlib import Path

from aggregator.replicas.names import Name
from milepost.batch import Batch
from milepost.errors import RejectedError
from milepost.stream.reading import UNREADABLE, StreamFile
from milepost.stream.verify import well_formed
from milepost.wire import LIMIT_BYTES_DEFAULT, Cursor, PullAnswer, StreamHead, parse_answer


@dataclass(frozen=True, slots=True)
class Copy:
    """A restored stream: where it lies, and how far it goes."""

    path: Path
    region: str
    machine: str
    version: str
    head: StreamHead

    def answer(self, batches: tuple[Batch, ...] = ()) -> PullAnswer:
        """Return what an edge would answer that had this stream and no other."""
        answer = PullAnswer(
            region=self.region,
            machine=self.machine,
            version=self.version,
            lives=(),
            streams=(self.head,),
            batches=batches,
            forks=(),
            unreadable=(),
            more=False,
        )
        try:
            return parse_answer(answer.to_json())
        except (TypeError, ValueError, AttributeError) as error:
            msg = f"it is damaged ({type(error).__name__})"
            raise RejectedError(msg) from error


def look(path: Path, name: Name) -> Copy:
    """Look at the restored *path*; refuse what is not the stream that *name* says."""
    try:
        with StreamFile.open(path) as stream:
            about, end = stream.about, stream.end()
            head = StreamHead(
                id=about.stream,
                life=about.life,
                created_ms=about.created_ms,
                open=False,
                last_seq=end.seq,
                last_chain=end.chain,
                records=stream.summary().records,
            )
    except UNREADABLE as error:
        raise RejectedError(str(error)) from error
    if (about.region, about.machine, about.stream) != (name.region, name.machine, name.stream):
        msg = f"it holds the stream {about.stream.hex()} of another name"
        raise RejectedError(msg)
    copy = Copy(path, about.region, about.machine, about.version, head)
    copy.answer()  # refused now rather than after some of it
    return copy


def holds(copy: Copy, at: Cursor) -> bool:
    """Tell whether *at* is a place in the copy's own history."""
    try:
        with StreamFile.open(copy.path) as stream:
            return stream.holds(at)
    except UNREADABLE as error:
        raise RejectedError(str(error)) from error


def answer_after(copy: Copy, at: Cursor) -> PullAnswer:
    """Return what follows *at*: at least one batch, for *at* is not the end."""
    found: list[Batch] = []
    fault = ""
    try:
        with StreamFile.open(copy.path) as stream:
            size = 0
            for batch in stream.batches(at.seq):
                found.append(batch)
                size += len(batch.records) + len(batch.addresses)
                if size > LIMIT_BYTES_DEFAULT:
                    break
    except (*UNREADABLE, TypeError) as error:
        fault = str(error)
    good, worse = well_formed(found, at)
    if not good:
        raise RejectedError(worse or fault or f"it ends at {at.seq}, before its own end")
    return copy.answer(tuple(good))
