"""What an edge holds of keys, and for how long."""

from milepost.epochs import EpochList
from milepost.vocabulary import Millis
from regional_logger.keyring import Keyring
from tests.edge.kit import Keys

FIRST, SECOND = Keys(1, Millis(0), Millis(100)), Keys(2, Millis(100), Millis(200))
BOTH = EpochList(Millis(5), (FIRST.public, SECOND.public))


def a_keyring() -> Keyring:
    """Return a keyring with both epochs and both salts."""
    keyring = Keyring()
    keyring.take_list(BOTH)
    keyring.take_salts([FIRST.held(), SECOND.held()], Millis(50))
    return keyring


def test_a_list_is_never_rolled_back() -> None:
    """An older or equal version changes nothing."""
    keyring = a_keyring()

    assert not keyring.take_list(EpochList(Millis(4), ()))
    assert not keyring.take_list(EpochList(Millis(5), ()))
    assert keyring.listed == BOTH


def test_the_epoch_follows_the_clock() -> None:
    """At the boundary the next one has begun, salt included."""
    keyring = a_keyring()

    before, after = keyring.epoch_at(Millis(99)), keyring.epoch_at(Millis(100))

    assert (before, after) == (FIRST.public, SECOND.public)
    assert keyring.salt_of(after) == SECOND.salt


def test_a_clock_beyond_the_list_gets_the_nearest_epoch() -> None:
    """A record is sealed rather than shed."""
    assert a_keyring().epoch_at(Millis(10_000)) == SECOND.public


def test_a_salt_goes_with_its_epoch() -> None:
    """Once the epoch is over the salt is not to be had any more."""
    keyring = a_keyring()

    keyring.drop_ended(Millis(100))

    assert keyring.salt_of(FIRST.public) is None
    assert keyring.salt_of(SECOND.public) == SECOND.salt


def test_salts_are_asked_for_before_they_are_needed() -> None:
    """The next one shortly before it begins; none when all are at hand."""
    keyring = Keyring()
    keyring.take_list(BOTH)
    keyring.take_salts([FIRST.held()], Millis(50))

    assert not keyring.needs_salts(Millis(50), 10)
    assert keyring.needs_salts(Millis(95), 10)
    assert not a_keyring().needs_salts(Millis(95), 10)
