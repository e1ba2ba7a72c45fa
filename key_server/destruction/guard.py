"""Asking the aggregator whether anything still needs an epoch's record key, and what time it is."""

from dataclasses import replace
from typing import Any

from key_server.destruction.rules import Guard, Limits
from key_server.destruction.steady import agree
from key_server.periods import Span
from milepost.client import Client
from milepost.clock import Clock, Counter
from milepost.errors import RejectedError, ServiceError
from milepost.vocabulary import Millis

TEXTS_MAX, CHARS_MAX = 100, 300
NUMBER_MAX = 10**15  # what can be sent back as `force_clicks` is less


class Asker:
    """Asks the aggregator."""

    def __init__(self, client: Client, limits: Limits, clock: Clock, counter: Counter) -> None:
        self._client = client
        self._limits = limits
        self._clock = clock
        self._counter = counter

    async def ask(self, span: Span) -> Guard:
        """Return what the aggregator says of an epoch, or why it says nothing."""
        params = {
            "epoch": str(span.number),
            "end_ms": str(span.end_ms),
            "grace_ms": str(self._limits.grace_ms),
        }
        before, begun_ms = self._clock.now(), self._counter()
        try:
            told = await self._client.get("/v1/drained", params)
            # By the counter: a clock that is set meanwhile is not to vouch for itself.
            after = Millis(before + self._counter() - begun_ms)
            guard, now_ms = read_guard(told, span)
        except ServiceError as error:
            return Guard(reasons=(f"the aggregator did not answer: {error}"[:CHARS_MAX],))
        # A slow answer is no wrong clock: the other moment lies somewhere between the two.
        nearest = min(max(now_ms, before), after)
        return replace(guard, clocks_agree=agree(now_ms, nearest))


def read_guard(told: Any, span: Span) -> tuple[Guard, Millis]:
    """Read an answer, or refuse."""
    try:
        if told["epoch"] != span.number:
            msg = "the aggregator answered for another epoch"
            raise RejectedError(msg)
        guard = Guard(
            drained=told["drained"] is True,
            clicks=_number(told["clicks"]),
            set_aside=_number(told["set_aside"]),
            answered=True,
            reasons=tuple(str(each)[:CHARS_MAX] for each in told["reasons"][:TEXTS_MAX]),
            streams=tuple(str(each["stream"])[:CHARS_MAX] for each in told["streams"][:TEXTS_MAX]),
        )
        return guard, Millis(_number(told["now_ms"]))
    except (KeyError, TypeError, ValueError) as error:
        msg = "not an answer about what is drained"
        raise RejectedError(msg) from error


def _number(told: Any) -> int:
    if type(told) is not int or not 0 <= told < NUMBER_MAX:
        raise ValueError
    return told
