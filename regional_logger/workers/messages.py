"""What an edge and its workers tell each other: one JSON object a line, one key in each.

Both ends are this program, of one version.  A line that cannot be read is
nobody's message all the same, and is passed over.

Rules of this file:
- Pure.
- Salts pass through here, so no message with one has a repr that shows it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from milepost.batch import ID_BYTES, hex_bytes
from milepost.epochs import SALT_BYTES
from milepost.errors import RejectedError
from milepost.links import FeedPlace, Link, feed_place, link_from
from milepost.vocabulary import Epoch, Millis, Salt, StreamId
from regional_logger.keyring import HeldSalt
from regional_logger.links.news import Applied

LINE_BYTES_MAX = 1 << 20
LINKS_A_LINE = 40  # each with as many rules as there may be

Sample = tuple[str, dict[str, str], float]


@dataclass(frozen=True, slots=True)
class KeyList:
    """To a worker: the list of epochs as the key server signed it."""

    document: Any


@dataclass(frozen=True, slots=True)
class Salts:
    """To a worker: the salts at hand, and no others."""

    held: tuple[HeldSalt, ...]


@dataclass(frozen=True, slots=True)
class SomeLinks:
    """To a worker: a part of all links; with the last one they take effect."""

    links: tuple[Link, ...]
    last: bool


@dataclass(frozen=True, slots=True)
class Reload:
    """To a worker: the replica on disk holds all links, read it."""


@dataclass(frozen=True, slots=True)
class ChangedLink:
    """To a worker: a link that is new, has changed or is gone."""

    applied: Applied


@dataclass(frozen=True, slots=True)
class Begin:
    """To a worker: all that was known has been told, visitors may come."""


@dataclass(frozen=True, slots=True)
class TurnOver:
    """To a worker: close the open stream and begin the next."""


@dataclass(frozen=True, slots=True)
class Released:
    """To a worker: litestream has let go of a stream."""

    stream: StreamId


@dataclass(frozen=True, slots=True)
class End:
    """To a worker: finish what was accepted, and end."""


@dataclass(frozen=True, slots=True)
class Serving:
    """From a worker: visitors are let in."""


@dataclass(frozen=True, slots=True)
class Committed:
    """From a worker: there is something new to pull."""


@dataclass(frozen=True, slots=True)
class Opened:
    """From a worker: a stream is written from now on."""

    stream: StreamId


@dataclass(frozen=True, slots=True)
class Closing:
    """From a worker: a stream closes once it is released."""

    stream: StreamId


@dataclass(frozen=True, slots=True)
class Failed:
    """From a worker: a stream's file is never to be touched again."""

    stream: StreamId


@dataclass(frozen=True, slots=True)
class Counts:
    """From a worker: its metrics, each since it started."""

    samples: tuple[Sample, ...]


Message = (
    KeyList
    | Salts
    | SomeLinks
    | Reload
    | ChangedLink
    | Begin
    | TurnOver
    | Released
    | End
    | Serving
    | Committed
    | Opened
    | Closing
    | Failed
    | Counts
)


def line_of(message: Message) -> bytes:
    """Return *message* as a line."""
    form = _FORMS[type(message)]
    return orjson.dumps({form.name: form.content(message)}) + b"\n"


def message_in(line: bytes) -> Message | None:
    """Return the message in *line*, or None when there is none."""
    try:
        ((name, content),) = orjson.loads(line).items()
        return _READERS[name](content)
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RejectedError):
        return None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All links, as the messages that tell them."""

    links: Sequence[Link]

    def __iter__(self) -> Iterator[Message]:
        """Give part after part, made when it is asked for."""
        count = len(self.links)
        for at in range(0, max(count, 1), LINKS_A_LINE):
            part = tuple(self.links[at : at + LINKS_A_LINE])
            yield SomeLinks(part, last=at + LINKS_A_LINE >= count)


def _stream(content: Any) -> StreamId:
    return StreamId(hex_bytes(content, ID_BYTES, "stream"))


def _link(rule: Any) -> Link:
    return link_from(rule, _text(rule["id"]))


def _changed(content: Any) -> ChangedLink:
    told, gone, put, after = content
    return ChangedLink(
        Applied(
            place=_feed_place(told),
            gone=tuple(map(_link, gone)),
            put=None if put is None else _link(put),
            after=None if after is None else _feed_place(after),
        )
    )


def _feed_place(told: Any) -> FeedPlace:
    place = feed_place(told)
    if place is None:
        msg = "want a place in the feed"
        raise RejectedError(msg)
    return place


def _salts(content: Iterable[Any]) -> Salts:
    return Salts(
        tuple(
            HeldSalt(
                Epoch(int(epoch)), Millis(int(end_ms)), Salt(hex_bytes(salt, SALT_BYTES, "salt"))
            )
            for epoch, end_ms, salt in content
        )
    )


def _some_links(content: Any) -> SomeLinks:
    rules, last = content
    return SomeLinks(tuple(map(_link, rules)), last=last is True)


def _counts(content: Iterable[Any]) -> Counts:
    return Counts(
        tuple(
            (_text(name), {_text(key): _text(text) for key, text in labels.items()}, float(value))
            for name, labels, value in content
        )
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        msg = "want a text"
        raise RejectedError(msg)
    return value


def _changed_content(applied: Applied) -> Any:
    put = applied.put
    return [
        str(applied.place),
        [link.to_rule() for link in applied.gone],
        None if put is None else put.to_rule(),
        None if applied.after is None else str(applied.after),
    ]


def _salts_content(message: Salts) -> Any:
    return [[held.epoch, held.end_ms, held.salt.hex()] for held in message.held]


@dataclass(frozen=True, slots=True)
class _Form:
    """How one kind of message is written and read."""

    name: str
    content: Callable[[Any], Any]
    read: Callable[[Any], Message]


def _of_a_stream(name: str, kind: Callable[[StreamId], Message]) -> _Form:
    return _Form(name, lambda message: message.stream.hex(), lambda content: kind(_stream(content)))


def _bare(name: str, kind: Callable[[], Message]) -> _Form:
    return _Form(name, lambda _: True, lambda _: kind())


_FORMS: dict[type, _Form] = {
    KeyList: _Form("keys", lambda message: message.document, KeyList),
    Salts: _Form("salts", _salts_content, _salts),
    SomeLinks: _Form(
        "links",
        lambda message: [[link.to_rule() for link in message.links], message.last],
        _some_links,
    ),
    Reload: _bare("reload", Reload),
    ChangedLink: _Form("changed", lambda message: _changed_content(message.applied), _changed),
    Begin: _bare("begin", Begin),
    TurnOver: _bare("turn_over", TurnOver),
    Released: _of_a_stream("released", Released),
    End: _bare("end", End),
    Serving: _bare("serving", Serving),
    Committed: _bare("committed", Committed),
    Opened: _of_a_stream("opened", Opened),
    Closing: _of_a_stream("closing", Closing),
    Failed: _of_a_stream("failed", Failed),
    Counts: _Form("counts", lambda message: message.samples, _counts),
}
_READERS = {form.name: form.read for form in _FORMS.values()}
