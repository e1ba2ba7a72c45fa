"""The pipe itself, between two ends in one process."""

import asyncio
import socket

import pytest

from milepost.vocabulary import StreamId
from regional_logger.workers import pipe as pipe_module
from regional_logger.workers.messages import (
    LINE_BYTES_MAX,
    Begin,
    Committed,
    End,
    Message,
    Opened,
    Serving,
)
from regional_logger.workers.pipe import Pipe

STREAM = StreamId(bytes(range(16)))


async def two_ends() -> tuple[Pipe, Pipe]:
    """Return both ends of a pipe."""
    left, right = socket.socketpair()
    return await Pipe.over(left), await Pipe.over(right)


async def heard(end: Pipe) -> list[Message]:
    """Return everything that is told until the other side has gone."""
    return [message async for message in end.messages()]


async def test_messages_come_in_order_and_the_last_before_the_end() -> None:
    """Closing lets out what waits."""
    left, right = await two_ends()
    left.tell(Begin(), Opened(STREAM))
    left.tell(End())
    await left.close()

    assert await heard(right) == [Begin(), Opened(STREAM), End()]
    await right.close()


@pytest.mark.parametrize("size", [10, LINE_BYTES_MAX + 2, 3 * LINE_BYTES_MAX])
async def test_nonsense_on_the_way_is_passed_over(size: int) -> None:
    """Also a line longer than any of ours, which is never held whole."""
    left, right = socket.socketpair()
    end = await Pipe.over(right)
    hearing = asyncio.create_task(heard(end))
    sending = b"x" * size + b"\n" + b'{"serving":true}\n' + b'{"begin"'
    await asyncio.to_thread(left.sendall, sending)
    left.close()

    assert await hearing == [Serving()]  # the last line was cut off, and is none
    await end.close()


async def test_nobody_waits_for_an_end_that_does_not_listen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What may be left out is, early; of the rest the teller hears that it was too much."""
    monkeypatch.setattr(pipe_module, "FLUSH_SECONDS_MAX", 0.01)
    left, right = await two_ends()
    for _ in range(1_000):
        left.mention(Committed())
    assert all(left.tell(Opened(STREAM)) for _ in range(9_900))

    assert not left.tell(Opened(STREAM))
    await right.close()
    await left.close()


async def test_telling_somebody_who_has_gone_is_no_fault() -> None:
    """Whoever listens hears of it; whoever tells need not care."""
    left, right = await two_ends()
    await right.close()

    assert await heard(left) == []
    assert left.tell(Begin())
    await left.close()
