"""Following the key server: a list and the salt that comes with it."""

from pathlib import Path
from typing import Any

import nacl.bindings as sodium
import orjson
import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpServer

from milepost.client import Client
from milepost.clock import SystemClock
from milepost.config import Secret
from milepost.epochs import sign_list
from milepost.errors import ServiceError
from milepost.vocabulary import Millis
from regional_logger.keyring import Keyring
from regional_logger.keys import KeyFollower
from tests.edge.kit import Keys

IDENTITY, SIGNING_KEY = sodium.crypto_sign_seed_keypair(bytes(32))


class KeyServer:
    """Answers with a list of two epochs, and with the second one's salt if it is well."""

    def __init__(self) -> None:
        now = SystemClock().now()
        self.first = Keys(1, Millis(now - 90_000), Millis(now - 1))
        self.second = Keys(2, Millis(now - 1), Millis(now + 90_000))
        self.well = True

    async def epochs(self, request: web.Request) -> web.Response:
        """Answer with the list."""
        epochs = (self.first.public, self.second.public)
        return web.Response(body=sign_list(Millis(1), epochs, SIGNING_KEY))

    async def salts(self, request: web.Request) -> web.Response:
        """Answer with the current salt."""
        held = self.second.held()
        told: dict[str, Any] = {"epoch": 2, "end_ms": held.end_ms, "salt": held.salt.hex()}
        return web.Response(body=orjson.dumps({"salts": [told]}), status=200 if self.well else 503)


@pytest.mark.parametrize("well", [True, False])
async def test_a_salt_is_taken_with_its_list(
    tmp_path: Path, aiohttp_server: AiohttpServer, *, well: bool
) -> None:
    """No moment between the two; and a list does not wait for a salt that cannot be had."""
    there, keyring, app = KeyServer(), Keyring(), web.Application()
    there.well = well
    app.router.add_get("/v1/epochs", there.epochs)
    app.router.add_get("/v1/salts", there.salts)
    url = str((await aiohttp_server(app)).make_url(""))
    async with Client.connect(url, Secret("t")) as client:
        follower = KeyFollower(
            client,
            keyring,
            identity=IDENTITY,
            cache=tmp_path / "epochs.json",
            clock=SystemClock(),
        )
        await follower.follow_list()
        epoch = keyring.epoch_at(SystemClock().now())
        at_once = keyring.salt_of(epoch)
        if not well:
            with pytest.raises(ServiceError):
                await follower.follow_salts()
        there.well = True
        await follower.follow_salts()

    assert epoch == there.second.public
    assert at_once == (there.second.salt if well else None)
    assert keyring.salt_of(epoch) == there.second.salt
