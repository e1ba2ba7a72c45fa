"""Counts that survive the process."""

from pathlib import Path

import pytest

from milepost.errors import UnavailableError
from milepost.stream.meter import read_meter
from milepost.vocabulary import LifeId, Millis
from regional_logger.meter import HOURS, LifeInfo, Meter

HOUR = 3_600_000
LIFE = LifeInfo(LifeId(bytes(range(16))), 3, Millis(7))


def test_what_is_counted_is_read_back_while_the_life_lasts(tmp_path: Path) -> None:
    """Per hour and outcome, from another file handle, without any closing."""
    meter = Meter(tmp_path, LIFE)
    for moment in (5 * HOUR, 5 * HOUR + 1, 6 * HOUR):
        meter.accept(Millis(moment))
    meter.shed(Millis(6 * HOUR))
    meter.exclude(Millis(5 * HOUR))

    life = read_meter(meter.path)

    assert life.alive
    assert (life.id, life.worker, life.started_ms) == (LIFE.id, 3, 7)
    assert life.meter == ((5 * HOUR, 2, 0, 1), (6 * HOUR, 1, 1, 0))
    meter.close()


def test_an_ended_life_is_told_from_a_running_one(tmp_path: Path) -> None:
    """The lock goes with the process, whatever way it goes."""
    meter = Meter(tmp_path, LIFE)
    meter.accept(Millis(HOUR))
    meter.close()

    assert not read_meter(meter.path).alive


def test_a_clock_that_jumps_back_finds_its_hour_again(tmp_path: Path) -> None:
    """No hour has two rows."""
    meter = Meter(tmp_path, LIFE)
    for hour in (9, 8, 9):
        meter.accept(Millis(hour * HOUR))

    assert read_meter(meter.path).meter == ((9 * HOUR, 2, 0, 0), (8 * HOUR, 1, 0, 0))
    meter.close()


def test_a_long_life_keeps_its_newest_hours(tmp_path: Path) -> None:
    """The page never grows, so that no full disk can be in its way."""
    meter = Meter(tmp_path, LIFE)
    for hour in range(1, HOURS + 10):
        meter.accept(Millis(hour * HOUR))

    hours = {row.hour_ms // HOUR for row in read_meter(meter.path).meter}
    assert hours == set(range(10, HOURS + 10))
    meter.close()


def test_without_room_the_page_waits_in_memory(tmp_path: Path) -> None:
    """Nothing that was counted meanwhile is missing once there is room."""
    folder = tmp_path / "later"
    meter = Meter(folder, LIFE)
    meter.accept(Millis(HOUR))
    folder.mkdir()

    meter.keep()
    meter.accept(Millis(HOUR))

    assert read_meter(meter.path).meter == ((HOUR, 2, 0, 0),)
    meter.close()


@pytest.mark.parametrize("content", [b"", b"short", bytes(range(64))])
def test_what_is_no_meter_is_refused(tmp_path: Path, content: bytes) -> None:
    """With an error that names the file."""
    path = tmp_path / f"{LIFE.id.hex()}.meter"
    path.write_bytes(content)

    with pytest.raises(UnavailableError, match=r"\.meter"):
        read_meter(path)
