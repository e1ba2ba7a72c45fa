"""Every call of the registry by every kind of token."""

from pathlib import Path
from typing import Any

import pytest

from link_registry.api import API, SCOPES
from milepost.openapi import Call
from milepost.vocabulary import Millis
from tests import authorisation
from tests.link_registry.registry_world import running_registry


@pytest.mark.parametrize("call", API.calls, ids=lambda call: call.name)
async def test_a_call_lets_in_whom_the_table_says(call: Call, tmp_path: Path) -> None:
    """And nobody else: 401 for whom nobody knows any more, 403 for who may not do this."""
    async with running_registry(tmp_path, tokens=authorisation.book(API)) as registry:

        async def make(body: dict[str, Any]) -> str:
            answer = await registry.call("POST", "/v1/tokens", body, token=authorisation.FULL)
            told = await answer.json()
            assert answer.status == 201, told
            return str(told["secret"])

        async def ask(method: str, path: str, token: str | None) -> authorisation.Answered:
            shown = {"Authorization": f"Bearer {token}"} if token else {}
            body: Any = {} if call.body else None
            async with registry.client.request(method, path, json=body, headers=shown) as answer:
                # The feed goes on, and is left alone.
                return answer.status, await answer.json() if answer.status >= 400 else None

        holders = await authorisation.Holders.make(
            SCOPES, make, expires_ms=registry.clock.now() + 1
        )
        assert (await ask("DELETE", "/v1/tokens/revoked", authorisation.FULL))[0] == 204
        registry.clock.at = Millis(registry.clock.now() + 1)
        found = await authorisation.verdicts(call, holders, SCOPES, ask)

    assert {kind: got for kind, (_, got) in found.items()} == {
        kind: wanted for kind, (wanted, _) in found.items()
    }
