"""Opening boxes for a person: record keys from the key server, which notes who asked."""

import asyncio
from typing import Any

from milepost.batch import Batch, hex_bytes
from milepost.cli.group import Surroundings, sentence
from milepost.cli.places import Central, ask, find
from milepost.client import Client
from milepost.errors import ConfigError, NotFoundError, RejectedError
from milepost.record import Body, Record
from milepost.seal import open_body
from milepost.vocabulary import Epoch

SECRET_BYTES = 32
_NAMES = Record._fields


class Opener:
    """Opens batches; each epoch's key is asked for once, and kept in memory alone."""

    def __init__(self, here: Surroundings) -> None:
        self._place = find(here, Central.KEYS)
        self._keys: dict[Epoch, bytes | None] = {}

    def open(self, batch: Batch) -> Body:
        """Return what is in *batch*, or refuse saying why it stays sealed."""
        if not batch.records and not batch.header.count:
            return Body()
        epoch = batch.header.epoch
        if epoch not in self._keys:
            self._keys[epoch] = asyncio.run(ask(self._place, lambda client: _key(client, epoch)))
        key = self._keys[epoch]
        if key is None:
            msg = f"epoch {epoch} is unknown to the key server or destroyed"
            raise RejectedError(msg)
        return open_body(batch.header, batch.records, key)


def rows_of(batch: Batch, body: Body) -> list[dict[str, Any]]:
    """Return everything in *body* in order, as it is shown."""
    name = batch.header.batch.hex()
    found = {index: _record_row(record) for index, record in body.placed()}
    found |= {each.index: {"reason": each.reason, "fields": dict(each.fields)} for each in body.raw}
    return [{"id": f"{name}:{index}", **row} for index, row in sorted(found.items())]


def _record_row(record: Record) -> dict[str, Any]:
    told = {name: getattr(record, name) for name in _NAMES}
    if record.visitor is not None:
        told["visitor"] = record.visitor.hex()
    return {name: value for name, value in told.items() if value is not None}


async def _key(client: Client, epoch: Epoch) -> bytes | None:
    try:
        told = await client.get(f"/v1/epochs/{epoch}/record-key")
    except NotFoundError:
        return None
    except RejectedError as error:  # the token's fault, and no batch's
        raise ConfigError(sentence(error)) from error
    return hex_bytes(told.get("record_key"), SECRET_BYTES, "record_key")
