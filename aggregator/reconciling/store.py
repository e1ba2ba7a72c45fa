"""The SQL that finds what is to be reckoned with.  It only reads, all of it at one moment.

Nearly every life and hour is *even*: the meter, the tally and what was written say
the same.  Those are summed here, since nothing that becomes of a life changes them;
what is odd goes to the rules one by one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from aggregator.reconciling.rules import (
    LifeState,
    Reckoning,
    Row,
    Sealed,
    Spot,
    StreamState,
    Suspect,
)
from aggregator.reconciling.summing import Even, Range
from milepost.batch import hour_of, parse_tally
from milepost.database import Readers
from milepost.errors import RejectedError
from milepost.record import RECORDS_MAX
from milepost.vocabulary import LifeId, Millis

SPANS_MAX = 1_000

# What has a tally, beside its meter.  Larger counts are odd, so that no sum of even ones
# leaves 8 bytes.
TALLIED = """
    WITH tallied (life, hour_ms, accepted, meter_shed, meter_excluded,
                  recorded, late, shed, excluded, pulled, set_aside) AS (
        SELECT tally.life, tally.hour_ms, accepted, ifnull(meter.shed, 0),
               ifnull(meter.excluded, 0), recorded, late, tally.shed, tally.excluded,
               pulled, set_aside
          FROM tally LEFT JOIN meter
            ON meter.life = tally.life AND meter.hour_ms = tally.hour_ms)
"""
EVEN = """
    pulled + set_aside = recorded
    AND max(recorded, late, shed, excluded, meter_shed, meter_excluded) < 1099511627776
    AND CASE WHEN accepted IS NOT NULL
             THEN accepted = recorded AND meter_shed >= shed AND meter_excluded >= excluded
             ELSE NOT EXISTS (SELECT 1 FROM meter WHERE meter.life = tallied.life) END
"""
# What has none, such as hours in which everything was shed.
UNTALLIED = """
    NOT EXISTS (SELECT 1 FROM tally
                 WHERE tally.life = meter.life AND tally.hour_ms = meter.hour_ms)
"""
EVEN_UNTALLIED = "accepted = 0 AND max(shed, excluded) < 1099511627776"
SUMS = """
    sum(recorded), sum(late), sum(max(shed, meter_shed)), sum(max(excluded, meter_excluded)),
    sum(pulled), sum(set_aside)
"""
# Summed life by life first, in the order in which they are stored: that needs no sorting.
EVEN_SUMS = f"""
    {TALLIED}
    SELECT region, NULL, sum(a), sum(b), sum(c), sum(d), sum(e), sum(f)
      FROM (SELECT life, sum(recorded) AS a, sum(late) AS b, sum(max(shed, meter_shed)) AS c,
                   sum(max(excluded, meter_excluded)) AS d, sum(pulled) AS e,
                   sum(set_aside) AS f
              FROM tallied WHERE {EVEN} GROUP BY life) JOIN life USING (life)
     GROUP BY region
     UNION ALL
    SELECT region, NULL, 0, 0, sum(c), sum(d), 0, 0
      FROM (SELECT life, sum(shed) AS c, sum(excluded) AS d FROM meter
             WHERE {EVEN_UNTALLIED} AND {UNTALLIED} GROUP BY life) JOIN life USING (life)
     GROUP BY region
"""
EVEN_HOURS = f"""
    {TALLIED}
    SELECT (SELECT region FROM life WHERE life.life = tallied.life), hour_ms, {SUMS}
      FROM tallied WHERE hour_ms >= ?1 AND hour_ms < ?2 AND {EVEN}
     GROUP BY 1, 2
     UNION ALL
    SELECT (SELECT region FROM life WHERE life.life = meter.life), hour_ms,
           0, 0, sum(shed), sum(excluded), 0, 0
      FROM meter WHERE hour_ms >= ?1 AND hour_ms < ?2 AND {EVEN_UNTALLIED} AND {UNTALLIED}
     GROUP BY 1, 2
"""
ODD = f"""
    {TALLIED}
    SELECT * FROM tallied WHERE NOT ({EVEN})
     UNION ALL
    SELECT life, hour_ms, accepted, shed, excluded, 0, 0, 0, 0, 0, 0
      FROM meter WHERE NOT ({EVEN_UNTALLIED}) AND {UNTALLIED}
"""
SEALED = """
    SELECT life, json_extract(value, '$[0]'),
           sum(CASE WHEN reason IS NULL THEN json_extract(value, '$[1]') ELSE 0 END),
           sum(CASE WHEN reason IS NULL THEN 0 ELSE json_extract(value, '$[1]') END)
      FROM sealed JOIN applied USING (batch) JOIN stream USING (stream), json_each(tally)
     GROUP BY 1, 2
"""
DAMAGED = "SELECT life, created_ms, count, tally FROM damaged JOIN stream USING (stream)"
# Those without a meter whose streams promised more than there is: no row tells of that.
PROMISED = """
    SELECT DISTINCT life FROM stream
     WHERE last_records > records
       AND NOT EXISTS (SELECT 1 FROM meter WHERE meter.life = stream.life)
"""
# A source that was written off is not asked any more: nothing of its lives goes on here.
NO_SOURCE = "(gone_ms IS NOT NULL OR abandoned_ms IS NOT NULL)"
LIVES = f"""
    SELECT life.life, life.region, alive, present, {NO_SOURCE}, newest_ms,
           (SELECT min(hour_ms) FROM meter WHERE meter.life = life.life)
      FROM life LEFT JOIN source ON source.url = life.source
     WHERE life.life IN (SELECT unhex(value) FROM json_each(?))
"""
STREAMS = """
    SELECT life, created_ms, present, open, last_chain IN (chain, ifnull(branch_chain, chain)),
           seq >= last_seq, swept_ms IS NOT NULL, abandoned_ms IS NOT NULL,
           last_records - records
      FROM stream WHERE life IN (SELECT unhex(value) FROM json_each(?))
"""
# Each life that vanished while it ran as far as anybody knew, whose meter came back
# lower, or that was never told of; and those whose batches outran their meter.
SUSPECTS = f"""
    SELECT life, life.region, life.machine, started_ms,
           CASE WHEN life IN (SELECT unhex(value) FROM json_each(?1))
                THEN lowered_ms ELSE ifnull(lowered_ms, told_ms) END,
           newest_ms,
           ifnull((SELECT min(next.started_ms) FROM life AS next
                    WHERE next.region = life.region AND next.machine = life.machine
                      AND next.worker = life.worker AND next.started_ms > life.started_ms),
                  (SELECT min(next.started_ms) FROM life AS next
                    WHERE next.region = life.region AND next.machine = life.machine
                      AND next.started_ms > max(life.newest_ms, ifnull(life.told_ms, 0),
                                                life.started_ms)))
      FROM life LEFT JOIN source ON source.url = life.source
     WHERE (alive = 1 AND (present = 0 OR {NO_SOURCE}))
        OR lowered_ms IS NOT NULL
        OR (told_ms IS NULL AND NOT EXISTS (SELECT 1 FROM stream WHERE stream.life = life.life
                                               AND stream.present = 1 AND stream.open = 1))
        OR life IN (SELECT unhex(value) FROM json_each(?1))
     ORDER BY started_ms DESC LIMIT ?2
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the database says at one moment."""

    even: list[Even]
    odd: list[Row]
    lives: dict[LifeId, LifeState]
    streams: dict[LifeId, list[StreamState]]
    sealed: dict[Spot, Sealed]
    damaged: dict[Spot, int]


async def find_all(readers: Readers, wanted: Range) -> Found:
    """Return everything that is to be reckoned with."""
    async with readers.snapshot() as db:
        odd = [Row(LifeId(life), *rest) for life, *rest in await db.execute_fetchall(ODD)]
        sealed = {
            (LifeId(life), hour): Sealed(*counts)
            for life, hour, *counts in await db.execute_fetchall(SEALED)
        }
        damaged = _damaged(await db.execute_fetchall(DAMAGED))
        promised = {LifeId(life) for (life,) in await db.execute_fetchall(PROMISED)}
        named = {row.life for row in odd} | promised | {life for life, _ in sealed | damaged}
        names = _names(named)
        sums = await db.execute_fetchall(EVEN_SUMS)
        hours = await db.execute_fetchall(EVEN_HOURS, (wanted.start_ms, wanted.end_ms))
        return Found(
            even=[*map(_even, sums), *map(_even, hours)],
            odd=odd,
            lives={
                LifeId(life): LifeState(
                    LifeId(life), region, bool(alive), bool(present), bool(gone), newest, since
                )
                for life, region, alive, present, gone, newest, since in (
                    await db.execute_fetchall(LIVES, (names,))
                )
            },
            streams=_by_life(await db.execute_fetchall(STREAMS, (names,))),
            sealed=sealed,
            damaged=damaged,
        )


async def find_suspects(readers: Readers, outran: Iterable[LifeId]) -> list[Suspect]:
    """Return the lives that could not speak for all of their time, the newest first."""
    rows = await readers.rows(SUSPECTS, (_names(outran), SPANS_MAX))
    return [Suspect(LifeId(life), *rest) for life, *rest in rows]


def _even(row: Sequence[Any]) -> Even:
    region, hour_ms, recorded, late, shed, excluded, pulled, set_aside = row
    one = Reckoning(
        served=recorded + shed + excluded,
        recorded=recorded,
        late=late,
        shed=shed,
        excluded=excluded,
        pulled=pulled,
        set_aside=set_aside,
    )
    return region, hour_ms, one


def _by_life(rows: Iterable[Any]) -> dict[LifeId, list[StreamState]]:
    found: dict[LifeId, list[StreamState]] = {}
    for life, created, present, is_open, at_end, complete, swept, abandoned, missing in rows:
        state = StreamState(
            life=LifeId(life),
            created_ms=created,
            present=bool(present),
            open=bool(is_open),
            at_end=bool(at_end),
            complete=bool(complete),
            swept=bool(swept),
            abandoned=bool(abandoned),
            missing=missing,
        )
        found.setdefault(state.life, []).append(state)
    return found


def _damaged(rows: Iterable[Any]) -> dict[Spot, int]:
    """Return how many records damaged batches say they hold; their word is worth little."""
    found: dict[Spot, int] = {}
    for life, created_ms, count, text in rows:
        for hour, recorded in _hours_of(created_ms, count, text):
            spot = (LifeId(life), hour)
            found[spot] = found.get(spot, 0) + recorded
    return found


def _hours_of(created_ms: int, count: int, text: str) -> list[tuple[int, int]]:
    try:
        hours = [(row.hour_ms, row.recorded) for row in parse_tally(text)]
    except RejectedError:
        hours = []
    if sum(recorded for _, recorded in hours) == count <= RECORDS_MAX:
        return hours
    return [(hour_of(Millis(created_ms)), min(max(count, 0), RECORDS_MAX))]


def _names(lives: Iterable[LifeId]) -> str:
    return orjson.dumps([life.hex() for life in lives]).decode()
