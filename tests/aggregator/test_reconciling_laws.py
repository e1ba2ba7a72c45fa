"""The rules by which everything is reconciled, for all that a database can say."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from aggregator.reconciling.rules import (
    Books,
    Reckoning,
    Row,
    Sealed,
    reckon,
)
from aggregator.reconciling.summing import summarize
from milepost.batch import HOUR_MS
from milepost.vocabulary import LifeId
from tests.aggregator.books import ALL, HOUR, LIFE, OTHER, a_life, a_stream

numbers = st.integers(0, 30)
rows = st.builds(
    Row,
    st.sampled_from([LIFE, OTHER]),
    st.sampled_from([HOUR, HOUR + HOUR_MS]),
    st.none() | numbers,
    *[numbers] * 8,
)
lives = st.builds(
    a_life,
    region=st.sampled_from(["dfw", "cdg"]),
    alive=st.booleans(),
    present=st.booleans(),
    gone=st.booleans(),
    metered_since=st.sampled_from([None, HOUR, HOUR + HOUR_MS]),
)
streams = st.builds(
    a_stream,
    present=st.booleans(),
    open=st.booleans(),
    at_end=st.booleans(),
    complete=st.booleans(),
    swept=st.booleans(),
    abandoned=st.booleans(),
    missing=st.integers(-2, 5),
)
spots = st.tuples(st.sampled_from([LIFE, OTHER]), st.sampled_from([HOUR, HOUR + HOUR_MS]))


@st.composite
def any_books(draw: st.DrawFn) -> Books:
    """Draw whatever a database can say."""
    drawn = draw(st.lists(rows, max_size=4, unique_by=lambda row: (row.life, row.hour_ms)))
    return Books(
        rows=drawn,
        lives={LIFE: draw(lives), OTHER: draw(lives)._replace(life=OTHER)},
        streams={life: draw(st.lists(streams, max_size=2)) for life in (LIFE, OTHER)},
        sealed=draw(st.dictionaries(spots, st.builds(Sealed, numbers, numbers), max_size=3)),
        damaged=draw(st.dictionaries(spots, numbers, max_size=2)),
        sweeps=draw(st.booleans()),
    )


@given(any_books())
def test_whatever_is_stored_adds_up_or_is_told(books: Books) -> None:
    """Both equations hold in every region and hour but for what is unaccounted, and never less."""
    for found in reckon(books).values():
        first = found.recorded + found.shed + found.excluded + found.lost + found.behind
        second = found.pulled + found.waiting + found.set_aside
        off = abs(found.served - first) + abs(found.recorded - second)
        assert off <= found.unaccounted
        assert min(vars_of(found).values()) >= 0


@given(any_books(), st.sampled_from(["pulled", "set_aside"]), spots)
def test_one_more_anywhere_changes_what_is_unaccounted(
    books: Books, where: str, spot: tuple[LifeId, int]
) -> None:
    """A hit or a record set aside that no tally tells of never disappears in a sum."""
    before = {(row.life, row.hour_ms): row for row in books.rows}
    row = before.get(spot) or Row(*spot, *[0] * 9)
    more = row._replace(**{where: getattr(row, where) + 1})
    changed = Books(
        rows=[*(each for key, each in before.items() if key != spot), more],
        lives=books.lives,
        streams=books.streams,
        sealed=books.sealed,
        damaged=books.damaged,
        sweeps=books.sweeps,
    )
    was, now = (summarize([], reckon(each), [], ALL).total for each in (books, changed))

    assert abs(now.unaccounted - was.unaccounted) == 1


def vars_of(found: Reckoning) -> dict[str, int]:
    """Return every count by its name."""
    return {name: getattr(found, name) for name in Reckoning.__slots__}


happenings = st.lists(
    st.tuples(
        st.sampled_from(["accept", "commit", "shed", "exclude", "wait", "open", "aside"]),
        st.integers(0, 1),
    ),
    max_size=40,
)


@given(events=happenings, ended=st.booleans())
def test_every_honest_history_adds_up(events: list[tuple[str, int]], *, ended: bool) -> None:
    """At every moment of it: unaccounted is 0, and lost is what died uncommitted, exactly."""
    counts: Counter[tuple[str, int]] = Counter()
    for event, hour in events:
        _happen(counts, event, hour)
    books = Books(
        rows=[_row_of(counts, hour) for hour in (0, 1)],
        lives={LIFE: a_life(alive=not ended)},
        streams={LIFE: [a_stream(open=not ended)]},
        sealed={
            (LIFE, HOUR + hour * HOUR_MS): Sealed(waiting=counts["waiting", hour])
            for hour in (0, 1)
        },
    )
    total = summarize([], reckon(books), [], ALL).total

    assert total.unaccounted == 0
    uncommitted = sum(counts["accepted", hour] - counts["recorded", hour] for hour in (0, 1))
    assert (total.lost, total.behind) == ((uncommitted, 0) if ended else (0, uncommitted))


def _happen(counts: Counter[tuple[str, int]], event: str, hour: int) -> None:
    free = counts["recorded", hour] - sum(
        counts[name, hour] for name in ("pulled", "waiting", "set_aside")
    )
    match event:
        case "accept":
            counts["accepted", hour] += 1
        case "commit" if counts["recorded", hour] < counts["accepted", hour]:
            # A batch is applied with all its records in one place.
            counts["recorded", hour] += 1
            counts["pulled", hour] += 1
        case "shed" | "exclude":
            counts[event, hour] += 1
        case "wait" if counts["pulled", hour]:
            counts["pulled", hour] -= 1
            counts["waiting", hour] += 1
        case "open" if counts["waiting", hour]:
            counts["waiting", hour] -= 1
            counts["pulled", hour] += 1
        case "aside" if counts["waiting", hour]:
            counts["waiting", hour] -= 1
            counts["set_aside", hour] += 1
        case _:
            assert free == 0


def _row_of(counts: Counter[tuple[str, int]], hour: int) -> Row:
    return Row(
        life=LIFE,
        hour_ms=HOUR + hour * HOUR_MS,
        accepted=counts["accepted", hour],
        meter_shed=counts["shed", hour],
        meter_excluded=counts["exclude", hour],
        recorded=counts["recorded", hour],
        late=0,
        shed=counts["shed", hour] // 2,  # a tally is told later than the meter
        excluded=counts["exclude", hour] // 2,
        pulled=counts["pulled", hour],
        set_aside=counts["set_aside", hour],
    )
