"""The call that follows hits, for the table of all calls.

Rules of this file:
- Pure, and nothing but data.
"""

from aggregator.schemas import TEXT
from aggregator.searching.api import BOTS_TOO, FILTERS
from milepost.openapi import HEADER, Answer, Call, Parameter
from milepost.tokens import HITS_READ

CONFLICT = 409

LIVE_CALLS = (
    Call(
        name="follow_hits",
        method="GET",
        path="/v1/live",
        meaning="Follow hits as server-sent events, in the order in which they come.",
        scope=HITS_READ,
        narrows=True,
        parameters=(
            *FILTERS,
            BOTS_TOO,
            Parameter(
                name="Last-Event-ID",
                meaning="the id of the last event that one has, to go on from there",
                where=HEADER,
                schema={"type": "string", "maxLength": 128},
            ),
        ),
        answer=Answer(meaning="what comes, without end", schema=TEXT, media="text/event-stream"),
        problems=(CONFLICT,),
    ),
)
