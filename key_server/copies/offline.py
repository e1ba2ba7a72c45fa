"""What is done to keys.db while no key server runs: recover it, wrap it anew, make a master key.

Each begins with the folder's lock, and changes all in one transaction or nothing.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from key_server.audit import DESTROY_SALT, NO_EPOCH, RECOVER, REWRAP
from key_server.copies.content import COPY_BYTES_MAX, Copy, KeptEpoch
from key_server.copies.receipts import RECEIPTS_BYTES_MAX, read_receipts
from key_server.copies.recovering import Recovery, recover
from key_server.copies.store import CopyStore
from key_server.issuing import MADE_AHEAD, make_epoch
from key_server.periods import Period
from key_server.store import KeyStore, NewEpoch
from key_server.wrapping import MASTER_KEY_BYTES, NONCE_BYTES, Purpose, Vault
from milepost.clock import Clock, Entropy
from milepost.errors import ConfigError
from milepost.files import sync_folder, write_whole

RECOVERED_BY, REWRAPPED_BY = "milepost keys recover", "milepost keys rewrap"
KEY_FILE_BYTES_MAX = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What every command here needs."""

    clock: Clock
    entropy: Entropy


def make_master_key(path: Path, entropy: Entropy) -> None:
    """Write a new master key to *path*, for its owner alone; never over a file that is there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(path, entropy(MASTER_KEY_BYTES).hex().encode() + b"\n", new=True)
        sync_folder(path.parent)
    except FileExistsError as error:
        msg = f"{path} is there already and stays as it is; name another file"
        raise ConfigError(msg) from error
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise ConfigError(msg) from error


def master_key_in(path: Path, entropy: Entropy) -> bytes:
    """Return the master key in *path*, made first if there is no such file."""
    if not path.exists():
        make_master_key(path, entropy)
    text = _content(path, KEY_FILE_BYTES_MAX).decode("ascii", "replace").strip()
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != MASTER_KEY_BYTES:
        msg = f"{path}: want {2 * MASTER_KEY_BYTES} hex digits"
        raise ConfigError(msg)
    return key


def read_copy(path: Path, vault: Vault) -> Copy:
    """Open the copy in *path*."""
    return Copy.opened(_content(path, COPY_BYTES_MAX), vault)


async def recover_from(
    store: KeyStore,
    vault: Vault,
    copy: Copy,
    receipts: Path | None,
    *,
    period: Period,
    grace_ms: int,
    use: Tools,
) -> Recovery:
    """Begin with *copy* in an empty database; return what came of it."""
    if await store.identity() is not None:
        msg = "there are keys in this folder already; recover into an empty one"
        raise ConfigError(msg)
    content = b"" if receipts is None else _content(receipts, RECEIPTS_BYTES_MAX)
    proofs = read_receipts(content, copy.identity) if receipts is not None else ()
    now = use.clock.now()
    planned = recover(
        copy, proofs, now=now, period=period, ahead=MADE_AHEAD, salt_grace_ms=grace_ms
    )
    new = [make_epoch(span, vault, use.entropy) for span in planned.new]
    notes = [(RECOVERED_BY, RECOVER, NO_EPOCH, len(planned.copy.epochs))]
    notes += [(RECOVERED_BY, DESTROY_SALT, epoch, 1) for epoch in planned.salts_lost]
    whole = replace(planned.copy, epochs=(*planned.copy.epochs, *map(_kept, new)))
    await CopyStore(store).write(whole, notes, now)
    return planned


async def rewrap(store: KeyStore, old: Vault, new: Vault, use: Tools) -> bool:
    """Wrap every secret under *new*; tell whether there was anything to do."""
    identity = await store.identity()
    if identity is None:
        msg = "the key server has no identity yet; type `milepost keys init`"
        raise ConfigError(msg)
    if identity.check == new.check:
        return False  # an earlier run was cut off after its commit
    old.require_made(identity.check)

    def again(purpose: Purpose, epoch: int, wrapped: bytes | None) -> bytes | None:
        if wrapped is None:
            return None
        secret = old.unwrap(purpose, epoch, wrapped)
        return new.wrap(purpose, epoch, secret, use.entropy(NONCE_BYTES))

    def seed_again(wrapped: bytes) -> bytes:
        secret = old.unwrap(Purpose.IDENTITY, NO_EPOCH, wrapped)
        return new.wrap(Purpose.IDENTITY, NO_EPOCH, secret, use.entropy(NONCE_BYTES))

    def epoch_again(held: KeptEpoch) -> KeptEpoch:
        return replace(
            held,
            record_secret=again(Purpose.RECORD, held.number, held.record_secret),
            address_secret=again(Purpose.ADDRESS, held.number, held.address_secret),
            salt=again(Purpose.SALT, held.number, held.salt),
        )

    note = (REWRAPPED_BY, REWRAP, NO_EPOCH, 1)
    await CopyStore(store).rewrap(
        seed_again, new.check, epoch_again, note=note, now=use.clock.now()
    )
    return True


def require_no_past(database: Path) -> None:
    """Refuse unless a closed *database* left nothing beside it: its WAL may hold old pages."""
    wal = database.with_name(database.name + "-wal")
    if wal.exists() and wal.stat().st_size:
        msg = f"another process reads {database}; end it, and type the command again"
        raise ConfigError(msg)


def _kept(epoch: NewEpoch) -> KeptEpoch:
    public = epoch.public
    return KeptEpoch(
        number=public.number,
        start_ms=public.start_ms,
        end_ms=public.end_ms,
        record_key=public.record_key,
        address_key=public.address_key,
        record_secret=epoch.record_secret,
        address_secret=epoch.address_secret,
        salt=epoch.salt,
        salt_gone_ms=None,
        record_gone_ms=None,
    )


def _content(path: Path, bytes_max: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(bytes_max + 1)
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise ConfigError(msg) from error
    if len(content) > bytes_max:
        msg = f"{path}: larger than {bytes_max} bytes"
        raise ConfigError(msg)
    return content
