"""What is answered for an address box.

A box is opened only under the header that it was sealed with, only with the key
of the epoch that the header names, and only when the edge that it names made it.
Whatever does not hold is said in the box's own place, and the others are answered.

Rules of this file:
- Pure.  It costs CPU, so callers run `open_items` on a thread.
- No address and no secret is in an error or a repr.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from milepost.batch import Header
from milepost.epochs import PublicEpoch
from milepost.errors import RejectedError, UnknownEdgeError
from milepost.hashing import ITEM_BYTES_MAX, Addresses, Fault, Hashes, Item, Unanswered
from milepost.record import RECORDS_MAX
from milepost.seal import open_addresses
from milepost.tokens import MacKeys
from milepost.visitor import visitor_hash
from milepost.vocabulary import Epoch, Salt

Answer = Hashes | Addresses | Unanswered


@dataclass(frozen=True, slots=True)
class EpochSecrets:
    """What it takes to answer for an epoch's boxes."""

    public: PublicEpoch
    address_secret: bytes = field(repr=False)
    salt: Salt = field(repr=False)


@dataclass(frozen=True, slots=True)
class Destroyed:
    """An epoch whose salt and address key are gone."""


Known = Mapping[Epoch, EpochSecrets | Destroyed]
Finish = Callable[[Addresses, EpochSecrets], Answer]


def as_hashes(opened: Addresses, secrets: EpochSecrets) -> Hashes:
    """Return the visitor hashes of *opened*."""
    hashes = {
        index: visitor_hash(secrets.salt, address) for index, address in opened.addresses.items()
    }
    return Hashes(opened.batch, hashes)


def as_they_are(opened: Addresses, _: EpochSecrets) -> Addresses:
    """Return the addresses themselves."""
    return opened


def open_items(
    items: Sequence[Item | Unanswered], known: Known, macs: MacKeys, finish: Finish
) -> list[Answer]:
    """Answer each of *items*, in order; an epoch that is not among *known* does not exist."""
    return [
        each if isinstance(each, Unanswered) else _open(each, known, macs, finish) for each in items
    ]


def claimed(items: Sequence[Item | Unanswered]) -> int:
    """Return how many addresses *items* may hold at most, before any is opened."""
    return sum(min(each.header.count, RECORDS_MAX) for each in items if isinstance(each, Item))


def count_given(
    items: Sequence[Item | Unanswered], answers: Sequence[Answer], known: Known
) -> dict[Epoch, int]:
    """Return how many addresses of each epoch *answers* tell of; 0 where all was refused.

    Epoch 0 stands for all that there is no epoch for.
    """
    counts: Counter[Epoch] = Counter()
    for item, answer in zip(items, answers, strict=True):
        named = item.header.epoch if isinstance(item, Item) else Epoch(0)
        counts[named if named in known else Epoch(0)] += _given(answer)
    return dict(counts) or {Epoch(0): 0}


def _given(answer: Answer) -> int:
    match answer:
        case Hashes(hashes=found):
            return len(found)
        case Addresses(addresses=opened):
            return len(opened)
    return 0


def _open(item: Item, known: Known, macs: MacKeys, finish: Finish) -> Answer:
    header = item.header
    secrets = known.get(header.epoch)
    if not isinstance(secrets, EpochSecrets):
        return _without_secrets(header, secrets)
    if fault := _form_fault(item, secrets):
        return Unanswered(header.batch, Fault.REFUSED, fault)
    try:
        found = open_addresses(header, item.box, secrets.address_secret, macs.known)
    except UnknownEdgeError as error:
        if not macs.without:
            return Unanswered(header.batch, Fault.REFUSED, str(error))
        msg = f"{error}; the tokens file has no mac_key for {', '.join(macs.without)}"
        return Unanswered(header.batch, Fault.NO_MAC_KEY, msg)
    except RejectedError as error:
        return Unanswered(header.batch, Fault.REFUSED, str(error))
    return finish(Addresses(header.batch, found), secrets)


def _without_secrets(header: Header, found: Destroyed | None) -> Unanswered:
    if found is None:
        return Unanswered(header.batch, Fault.UNKNOWN_EPOCH, f"there is no epoch {header.epoch}")
    msg = f"salt and address key of epoch {header.epoch} are destroyed"
    return Unanswered(header.batch, Fault.DESTROYED, msg)


def _form_fault(item: Item, secrets: EpochSecrets) -> str:
    """Return what is wrong with *item* before it is opened, if anything."""
    if item.header.key != secrets.public.key_id:
        return "the batch names another key than its epoch has"
    if item.header.count > RECORDS_MAX:
        return f"a batch of more than {RECORDS_MAX} records"
    if len(item.box) > ITEM_BYTES_MAX:
        return f"an address box of more than {ITEM_BYTES_MAX} bytes"
    return ""
