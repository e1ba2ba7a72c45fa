"""What became of every visit, per region and hour, and whether it adds up.

A life counts three times over: its meter what it accepted, its batches' tallies what
they recorded, the combined database what it wrote.  Here the three are held against
each other, one life and hour at a time.

What a life accepted and no batch tells is *behind* as long as it may still come, and
*lost* once it cannot: when the life is over and each of its streams is settled.  What
no equation explains is *unaccounted*; nothing is set off against anything else.

Rules of this file:
- Pure.
- No input makes it fail: what is impossible is unaccounted.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from milepost.batch import hour_of
from milepost.vocabulary import LifeId, Millis

Place = tuple[str, int]  # a region and an hour
Spot = tuple[LifeId, int]  # a life and an hour


@dataclass(slots=True)
class Reckoning:
    """What became of the visits of one region and hour, or of more."""

    served: int = 0
    recorded: int = 0
    late: int = 0
    shed: int = 0
    excluded: int = 0
    lost: int = 0
    behind: int = 0
    pulled: int = 0
    waiting: int = 0
    set_aside: int = 0
    unaccounted: int = 0

    def add(self, other: "Reckoning") -> None:
        """Add what became of other visits."""
        self.served += other.served
        self.recorded += other.recorded
        self.late += other.late
        self.shed += other.shed
        self.excluded += other.excluded
        self.lost += other.lost
        self.behind += other.behind
        self.pulled += other.pulled
        self.waiting += other.waiting
        self.set_aside += other.set_aside
        self.unaccounted += other.unaccounted


Reckonings = dict[Place, Reckoning]


class Row(NamedTuple):
    """What is stored of one life and hour: its meter, if that has the hour, and its tally."""

    life: LifeId
    hour_ms: int
    accepted: int | None
    meter_shed: int
    meter_excluded: int
    recorded: int
    late: int
    shed: int
    excluded: int
    pulled: int
    set_aside: int


class Standing(Enum):
    """What may still come of a life."""

    GOES_ON = auto()
    OVER = auto()  # but not all that it left has been heard of
    SETTLED = auto()  # what is not here by now is lost


class LifeState(NamedTuple):
    """What is known of one life."""

    life: LifeId
    region: str
    alive: bool  # as it was last told
    present: bool  # in its source's last answer
    gone: bool  # its source is no longer one, or was written off
    newest_ms: int  # the newest of its records that was applied; 0: none was
    metered_since: int | None  # the first hour that its meter told; None: no meter ever came

    @property
    def over(self) -> bool:
        """Tell whether it counts no more."""
        return not self.alive or not self.present or self.gone


class StreamState(NamedTuple):
    """How far one stream of a life has been heard of."""

    life: LifeId
    created_ms: int
    present: bool
    open: bool
    at_end: bool  # where its newest announcement ends
    complete: bool  # all that was ever announced of it is applied
    swept: bool
    abandoned: bool
    missing: int  # records that were announced and are not applied


class Sealed(NamedTuple):
    """Records in whole batches that are not opened."""

    waiting: int = 0
    set_aside: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """Everything of one moment that is to be reckoned with."""

    rows: Iterable[Row]
    lives: Mapping[LifeId, LifeState]
    streams: Mapping[LifeId, list[StreamState]] = field(default_factory=dict)
    sealed: Mapping[Spot, Sealed] = field(default_factory=dict)
    damaged: Mapping[Spot, int] = field(default_factory=dict)
    sweeps: bool = False  # what a source has no longer may come back out of its replica


def standing(life: LifeState, streams: Iterable[StreamState], *, sweeps: bool) -> Standing:
    """Return what may still come of *life*."""
    if not life.over:
        return Standing.GOES_ON
    settled = all(is_settled(each, gone=life.gone, sweeps=sweeps) for each in streams)
    return Standing.SETTLED if settled else Standing.OVER


def is_settled(stream: StreamState, *, gone: bool, sweeps: bool) -> bool:
    """Tell whether nothing more can come of *stream*.

    *gone*: its source is, or was written off.  *sweeps*: what is not there may come back out
    of the replica.
    """
    whole = not stream.open and stream.at_end and stream.complete
    if stream.abandoned or whole:
        return True
    if stream.present and not gone:  # as far as the file goes; its replica may go further
        return not stream.open and stream.at_end and (stream.swept or not sweeps)
    # Nobody knows whether a machine that is gone comes back, but what its replica held is here.
    return stream.swept or not (gone or sweeps)


def reckon(books: Books) -> Reckonings:
    """Return what became of every visit in *books*."""
    found: Reckonings = {}
    rows = {(row.life, row.hour_ms): row for row in books.rows}
    spots = rows.keys() | books.sealed.keys() | books.damaged.keys()
    standings = {
        life: standing(books.lives[life], books.streams.get(life, ()), sweeps=books.sweeps)
        for life in {life for life, _ in spots} | books.streams.keys()
    }
    for spot in spots:
        state = books.lives[spot[0]]
        row = rows.get(spot) or _empty_row(*spot)
        one = _of_row(row, state, standings[spot[0]], books.damaged.get(spot, 0))
        sealed = books.sealed.get(spot, Sealed())
        one.waiting += sealed.waiting
        one.set_aside += sealed.set_aside
        one.unaccounted += abs(one.recorded - one.pulled - one.waiting - one.set_aside)
        _note(found, state.region, spot[1], one)
    for life, streams in books.streams.items():
        if books.lives[life].metered_since is None:
            for stream in streams:
                _note_announced(found, books.lives[life], standings[life], stream)
    return found


def _of_row(row: Row, state: LifeState, standing: Standing, damaged: int) -> Reckoning:
    """Return what became of the visits of one life and hour, but for what lies sealed.

    While a life goes on its meter is always ahead of its batches.  Afterwards it may
    turn out to be older than they are, when the machine lost its power: a batch is on
    disk when it is answered for, the meter's page is not.
    """
    since = state.metered_since
    accepted = row.accepted or 0
    shed, excluded = max(row.shed, row.meter_shed), max(row.excluded, row.meter_excluded)
    if standing is Standing.GOES_ON and since is not None and row.hour_ms >= since:
        # What a damaged row says of itself may be what is damaged: the meter knows better.
        recorded = row.recorded + min(damaged, max(0, accepted - row.recorded))
        served = accepted + row.meter_shed + row.meter_excluded
    else:
        recorded = row.recorded + damaged
        accepted = max(accepted, recorded)
        served = accepted + shed + excluded
    missing = max(0, accepted - recorded)
    return Reckoning(
        served=served,
        recorded=recorded,
        late=row.late,
        shed=shed,
        excluded=excluded,
        lost=missing if standing is Standing.SETTLED else 0,
        behind=0 if standing is Standing.SETTLED else missing,
        pulled=row.pulled,
        set_aside=row.set_aside + recorded - row.recorded,
        unaccounted=abs(served - recorded - missing - shed - excluded),
    )


def _empty_row(life: LifeId, hour_ms: int) -> Row:
    return Row(life, hour_ms, 0, 0, 0, 0, 0, 0, 0, 0, 0)


def _note_announced(
    found: Reckonings, state: LifeState, standing: Standing, stream: StreamState
) -> None:
    """Without a meter nobody says what a life accepted, but its announcements are promises."""
    if stream.missing <= 0:
        return
    one = Reckoning(served=stream.missing)
    if standing is Standing.SETTLED:
        one.lost = stream.missing
    else:
        one.behind = stream.missing
    _note(found, state.region, hour_of(Millis(state.newest_ms or stream.created_ms)), one)


def _note(found: Reckonings, region: str, hour_ms: int, one: Reckoning) -> None:
    found.setdefault((region, hour_ms), Reckoning()).add(one)


def outran_its_meter(row: Row, state: LifeState) -> bool:
    """Tell whether the batches of a life that is over prove that its meter is too old."""
    since = state.metered_since
    return (
        state.over
        and since is not None
        and row.hour_ms >= since
        and row.recorded > (row.accepted or 0)
    )


class Suspect(NamedTuple):
    """A life that could not speak for all of its time."""

    life: LifeId
    region: str
    machine: str
    started_ms: int
    known_ms: int | None  # when its meter was last known to be whole
    newest_ms: int  # the newest of its records that was applied; 0: none was
    next_ms: int | None  # when the next life on its machine began


class Span(NamedTuple):
    """A time that nobody can speak for: what was served then and not committed is not known."""

    region: str
    machine: str
    life: LifeId
    from_ms: int
    until_ms: int | None


def span_of(suspect: Suspect) -> Span:
    """Return the time that *suspect* leaves open."""
    since = max(suspect.known_ms or suspect.started_ms, suspect.newest_ms)
    if suspect.next_ms is not None:
        since = min(since, suspect.next_ms)  # it was told by one clock, the next began by another
    return Span(suspect.region, suspect.machine, suspect.life, since, suspect.next_ms)
