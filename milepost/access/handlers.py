"""The calls that make, list and revoke tokens: the same on every service that keeps some."""

from collections.abc import Mapping

from aiohttp import web

from milepost.access.keeper import TokenKeeper
from milepost.http import Handler, json_body, json_response, principal_of

CREATED, NO_CONTENT = 201, 204


class TokenCalls:
    """The tokens as a resource."""

    def __init__(self, keeper: TokenKeeper) -> None:
        self._keeper = keeper

    def handlers(self) -> Mapping[str, Handler]:
        """Return who answers which call of `milepost.access.api`."""
        return {
            "create_token": self.create,
            "list_tokens": self.read_all,
            "revoke_token": self.revoke,
        }

    async def create(self, request: web.Request) -> web.Response:
        """Make a token."""
        made, secret = await self._keeper.create(await json_body(request), principal_of(request))
        return json_response({"token": made, "secret": secret}, status=CREATED)

    async def read_all(self, request: web.Request) -> web.Response:
        """Answer with every token that the caller may see."""
        return json_response({"tokens": await self._keeper.listed(principal_of(request))})

    async def revoke(self, request: web.Request) -> web.Response:
        """End a token."""
        await self._keeper.revoke(request.match_info["name"], principal_of(request))
        return web.Response(status=NO_CONTENT)
