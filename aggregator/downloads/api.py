"""The call that counts downloads, for the table of all calls.

Rules of this file:
- Pure, and nothing but data.  The limits in the schemas are those that are enforced.
"""

from aggregator.asking.filters import BOTS, CHOICES
from aggregator.downloads.question import DAY, EXCLUDE, LIMIT_DEFAULT, LIMIT_MAX, LINK, TARGET
from aggregator.schemas import INTEGER, MOMENT, TEXT, choice, limit, moment
from aggregator.searching.api import FILTERS, TOO_BROAD
from milepost.openapi import Answer, Call, object_of, or_null
from milepost.tokens import HITS_READ

ROW = object_of(
    {DAY: TEXT, LINK: or_null(TEXT), TARGET: or_null(TEXT), "downloads": INTEGER},
    required=("downloads",),
)
DOWNLOAD_CALLS = (
    Call(
        name="count_downloads",
        method="GET",
        path="/v1/downloads",
        meaning="Count downloads by a named rule.",
        scope=HITS_READ,
        narrows=True,
        parameters=(
            *FILTERS,
            choice(BOTS, "what is no person: left out, or not, or alone", EXCLUDE, *CHOICES[::2]),
            moment("start", "days in UTC from this moment on; 7 days by default"),
            moment("end", "days in UTC before this moment; now by default"),
            choice("group_by", "what is counted apart", DAY, LINK, TARGET),
            limit(LIMIT_DEFAULT, LIMIT_MAX),
        ),
        answer=Answer(
            meaning="how many there were",
            schema=object_of(
                {
                    "rule": TEXT,
                    "start": MOMENT,
                    "end": MOMENT,
                    "bots": TEXT,
                    "group_by": TEXT,
                    "downloads": INTEGER,
                    "first_two": INTEGER,
                    "groups": INTEGER,
                    "rows": {"type": "array", "items": ROW},
                }
            ),
        ),
        problems=(TOO_BROAD,),
    ),
)
