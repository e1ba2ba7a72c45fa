"""Wrapping: what lies on disk opens for its own place and master key, and nowhere else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from key_server.wrapping import NONCE_BYTES, Purpose, Vault
from milepost.errors import ConfigError, ServiceError

VAULT = Vault(bytes(range(32)))
SECRET = b"thirty-two bytes nobody may read"
NONCE = bytes(NONCE_BYTES)


@given(st.sampled_from(Purpose), st.integers(0, 2**63), st.binary(max_size=64))
def test_what_was_wrapped_unwraps(purpose: Purpose, epoch: int, secret: bytes) -> None:
    """For every purpose and epoch."""
    assert VAULT.unwrap(purpose, epoch, VAULT.wrap(purpose, epoch, secret, NONCE)) == secret


@pytest.mark.parametrize(
    ("vault", "purpose", "epoch"),
    [
        (VAULT, Purpose.SALT, 7),
        (VAULT, Purpose.RECORD, 8),
        (Vault(bytes(32)), Purpose.RECORD, 7),
    ],
    ids=["another purpose", "another epoch", "another master key"],
)
def test_a_secret_opens_in_its_own_place_only(vault: Vault, purpose: Purpose, epoch: int) -> None:
    """A wrapped value that was moved is refused, and the refusal tells nothing secret."""
    wrapped = VAULT.wrap(Purpose.RECORD, 7, SECRET, NONCE)

    with pytest.raises(ServiceError, match="does not unwrap") as caught:
        vault.unwrap(purpose, epoch, wrapped)

    assert SECRET.hex() not in str(caught.value)


@given(st.integers(0, 71), st.integers(1, 255))
def test_damage_is_noticed(at: int, flip: int) -> None:
    """Any byte changed, or the end cut off, and nothing comes out."""
    wrapped = bytearray(VAULT.wrap(Purpose.SALT, 7, SECRET, NONCE))
    cut = bytes(wrapped[:at])
    wrapped[at] ^= flip

    for damaged in (bytes(wrapped), cut):
        with pytest.raises(ServiceError):
            VAULT.unwrap(Purpose.SALT, 7, damaged)


def test_the_check_names_the_master_key_and_tells_nothing() -> None:
    """The right key passes, any other is refused by the setting's name."""
    VAULT.require_made(VAULT.check)

    with pytest.raises(ConfigError, match="MILEPOST_MASTER_KEY is not the key"):
        Vault(bytes(32)).require_made(VAULT.check)
