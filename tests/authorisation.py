"""Who gets in where: every call of a service by every kind of token, made from its table.

A call that is added to the table is tried without a word here.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from milepost.openapi import Api, Call
from milepost.tokens import ADDRESSES, Principal, TokenBook, token_hash
from milepost.vocabulary import Scope

FULL = "full"
NOBODY = "without a token"
UNKNOWN = "unknown"
EXPIRED = "expired"
REVOKED = "revoked"
SCOPELESS = "without the scope"
NARROWED = "narrowed to hosts"
OTHER_SCOPE = "with the other scope"
LET_IN = "let in"

Ask = Callable[[str, str, str | None], Awaitable[int]]  # method, path, token -> status
Make = Callable[[dict[str, Any]], Awaitable[str]]  # what `POST /v1/tokens` takes -> the token


def book(api: Api) -> TokenBook:
    """Return a tokens file: one that may do everything, and one for each scope that is asked."""
    scopes = asked_for(api)
    principals = [Principal(FULL, scopes), *(Principal(each, frozenset({each})) for each in scopes)]
    return TokenBook((token_hash(each.name), each) for each in principals)


def asked_for(api: Api) -> frozenset[Scope]:
    """Return every scope that lets somebody in somewhere."""
    either = {scope for call in api.calls for scope in (call.scope, call.or_scope)}
    return frozenset(scope for scope in either if scope is not None)


@dataclass(frozen=True)
class Holders:
    """A token of each kind."""

    tokens: Mapping[str, str | None]

    @classmethod
    async def make(cls, kept: tuple[Scope, ...], make: Make, *, expires_ms: int) -> "Holders":
        """Have the tokens made that a service keeps: for *kept*, all scopes that it can give."""
        every: dict[str, Any] = {"scopes": list(kept)}
        narrow = every | {"hosts": ["a.example"]}
        return cls(
            {
                FULL: FULL,
                NOBODY: None,
                UNKNOWN: "milepost_nobody",
                EXPIRED: await make(every | {"name": "expired", "expires_ms": expires_ms}),
                REVOKED: await make(every | {"name": "revoked"}),
                NARROWED: await make(narrow | {"name": "narrowed"}),
            }
        )


def expected(call: Call, kind: str, kept: tuple[Scope, ...]) -> str | int:
    """Return the status of the refusal that *kind* gets, or that it is let in."""
    if call.scope is None:
        return LET_IN
    if kind in {NOBODY, UNKNOWN, EXPIRED, REVOKED}:
        return HTTPStatus.UNAUTHORIZED
    if kind == SCOPELESS:
        return HTTPStatus.FORBIDDEN
    has_scope = not {call.scope, call.or_scope}.isdisjoint(kept)
    if kind == NARROWED and not (call.narrows and has_scope):
        return HTTPStatus.FORBIDDEN
    return LET_IN


async def verdicts(
    call: Call, holders: Holders, api: Api, kept: tuple[Scope, ...], ask: Ask
) -> dict[str, tuple[str | int, str | int]]:
    """Return what each kind of token is expected to get from *call*, and what it got."""
    tokens = dict(holders.tokens)
    others = asked_for(api) - {call.scope, call.or_scope}
    if call.scope is not None:
        assert ADDRESSES not in others
        tokens[SCOPELESS] = min(others)
    if call.or_scope is not None:
        tokens[OTHER_SCOPE] = call.or_scope
    path = re.sub(r"\{[^}]+\}", "x", call.path)
    found: dict[str, tuple[str | int, str | int]] = {}
    for kind, token in tokens.items():
        status = await ask(call.method, path, token)
        refused = status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
        found[kind] = (expected(call, kind, kept), status if refused else LET_IN)
    return found
