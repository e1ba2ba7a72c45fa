"""Recovering: what the keys are to be, when all that is left of them is a copy.

What happened after the copy was made is not known: epochs may have been cut
short by hand, and so be used before the time that the copy names; edges may have
been given epochs that the copy does not hold.  Hence no epoch of the copy is
used again.  Each that is not over ends now and stays only so that what was sealed
to it can be opened; new ones begin, under numbers that nobody can have given
out, for there is at most one rotation in a millisecond.

Rules of this file:
- Pure.
- What was destroyed stays destroyed, and time goes on for what was not.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce

from key_server.copies.content import Copy, KeptEpoch, KeptReceipt
from key_server.copies.receipts import RECORD, SALT, Proof
from key_server.periods import Period, Span, boundaries, plan
from milepost.errors import ConfigError
from milepost.vocabulary import Epoch, Millis

GAP_MIN = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What is written, and what it costs."""

    copy: Copy  # as it begins anew, without the new epochs
    new: tuple[Span, ...]  # epochs to be made
    ended: tuple[Epoch, ...]  # not over by the copy: over now
    proven: tuple[Epoch, ...]  # receipts told more of them than the copy did
    salts_lost: tuple[Epoch, ...]  # past their grace, so gone at once


def recover(
    copy: Copy,
    proofs: Sequence[Proof],
    *,
    now: Millis,
    period: Period,
    ahead: int,
    salt_grace_ms: int,
) -> Recovery:
    """Return what is to be, from *copy* and the receipts given beside it."""
    if now <= copy.made_ms:
        msg = "the clock is before the moment of the copy; set it right and type the command again"
        raise ConfigError(msg)
    destroyed = tuple(_destroyed(epoch, proofs) for epoch in copy.epochs)
    ended, border = _end_all(destroyed, now)
    kept = tuple(_past_grace(epoch, now, salt_grace_ms) for epoch in ended)
    first = Span(
        Epoch(copy.highest + max(GAP_MIN, now - copy.made_ms)),
        border,
        boundaries(max(border, now), period)[1],
    )
    return Recovery(
        copy=replace(
            copy,
            epochs=kept,
            receipts=_with_proofs(copy.receipts, proofs),
            version=Millis(max(now, copy.version + 1)),
        ),
        new=(first, *plan((first,), now, period, ahead)),
        ended=tuple(epoch.number for epoch in copy.epochs if epoch.end_ms > now),
        proven=_changed(copy.epochs, destroyed),
        salts_lost=_changed(ended, kept),
    )


def _destroyed(epoch: KeptEpoch, proofs: Iterable[Proof]) -> KeptEpoch:
    """Return *epoch* without what was destroyed, by all that is proven."""
    for proof in proofs:
        if proof.epoch != epoch.number:
            continue
        if proof.what == SALT and epoch.salt_gone_ms is None:
            epoch = _without_salt(epoch, proof.at_ms)
        elif proof.what == RECORD and epoch.record_gone_ms is None:
            epoch = replace(epoch, record_secret=None, record_gone_ms=proof.at_ms)
    return epoch


def _past_grace(epoch: KeptEpoch, now: Millis, grace_ms: int) -> KeptEpoch:
    over = epoch.salt_gone_ms is None and now - epoch.end_ms >= grace_ms
    return _without_salt(epoch, now) if over else epoch


def _without_salt(epoch: KeptEpoch, moment: Millis) -> KeptEpoch:
    return replace(epoch, salt=None, address_secret=None, salt_gone_ms=moment)


def _end_all(epochs: Sequence[KeptEpoch], now: Millis) -> tuple[tuple[KeptEpoch, ...], Millis]:
    """Return *epochs* with none that goes on, and where the new ones begin.

    Spans must touch and none is empty: the one that holds now is cut, each later
    one keeps a millisecond, so that the list still names it.
    """
    over = [epoch for epoch in epochs if epoch.end_ms <= now]
    going_on = [epoch for epoch in epochs if epoch.end_ms > now]
    if not going_on:
        return tuple(over), (over[-1].end_ms if over else now)
    start = min(going_on[0].start_ms, now)
    border = max(now, start + len(going_on))
    starts = [start, *range(border - len(going_on) + 1, border)]
    cut = [
        replace(epoch, start_ms=Millis(begins), end_ms=Millis(ends))
        for epoch, begins, ends in zip(going_on, starts, [*starts[1:], border], strict=True)
    ]
    return (*over, *cut), Millis(border)


def _with_proofs(
    receipts: tuple[KeptReceipt, ...], proofs: Sequence[Proof]
) -> tuple[KeptReceipt, ...]:
    return reduce(_with_proof, proofs, receipts)


def _with_proof(receipts: tuple[KeptReceipt, ...], proof: Proof) -> tuple[KeptReceipt, ...]:
    if any((each.epoch, each.what) == (proof.epoch, proof.what) for each in receipts):
        return receipts
    last = max((each.number for each in receipts), default=0)
    new = KeptReceipt(number=last + 1, epoch=proof.epoch, what=proof.what, document=proof.document)
    return (*receipts, new)


def _changed(before: Sequence[KeptEpoch], after: Sequence[KeptEpoch]) -> tuple[Epoch, ...]:
    return tuple(old.number for old, new in zip(before, after, strict=True) if old != new)
