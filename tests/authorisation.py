"""Who gets in where: every call of a service by every kind of token, made from its table.

The calls come from the table, and the scopes from `milepost.tokens`: what is added to
either is tried without a word here.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from milepost import tokens
from milepost.openapi import Api, Call
from milepost.tokens import Principal, TokenBook, token_hash
from milepost.vocabulary import Scope

# Every scope there is, those of other services too.
ALL_SCOPES = frozenset(
    Scope(value)
    for name, value in vars(tokens).items()
    if name.isupper() and isinstance(value, str) and value != tokens.BEARER
)

FULL = "full"
NOBODY = "without a token"
UNKNOWN = "unknown"
EXPIRED = "expired"
REVOKED = "revoked"
SCOPELESS = "without any scope"
NARROWED = "narrowed to hosts"
LET_IN = "let in"
CLOSED = "403 narrowed"  # by the guard: the call is about everything

Answered = tuple[int, Any]  # status, and the problem of a refusal
Ask = Callable[[str, str, str | None], Awaitable[Answered]]  # method, path, token
Make = Callable[[dict[str, Any]], Awaitable[str]]  # what `POST /v1/tokens` takes -> the token


def book(api: Api) -> TokenBook:
    """Return a tokens file: everything, nothing, each scope alone, and all but what a call wants.

    Neither of the last two may stand in for the other.
    """
    lacking = {_all_but(call): ALL_SCOPES - wanted_by(call) for call in api.calls}
    held = {
        FULL: ALL_SCOPES,
        SCOPELESS: frozenset[Scope](),
        **{_only(each): frozenset({each}) for each in ALL_SCOPES},
        **lacking,
    }
    return TokenBook((token_hash(name), Principal(name, scopes)) for name, scopes in held.items())


def wanted_by(call: Call) -> frozenset[Scope]:
    """Return the scopes each of which lets somebody through to *call*; none: everybody is."""
    return frozenset(scope for scope in (call.scope, call.or_scope) if scope is not None)


@dataclass(frozen=True)
class Holders:
    """A token of each kind that is the same for every call."""

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
                SCOPELESS: SCOPELESS,
                **{_only(each): _only(each) for each in ALL_SCOPES},
            }
        )


def expected(call: Call, kind: str, kept: Iterable[Scope]) -> str:
    """Return the refusal that *kind* gets, or that it is let in."""
    wanted = wanted_by(call)
    if not wanted or kind == FULL:
        return LET_IN
    if kind in {NOBODY, UNKNOWN, EXPIRED, REVOKED}:
        return "401 unauthorized"
    if kind == NARROWED and not wanted.isdisjoint(kept):
        return LET_IN if call.narrows else CLOSED
    if kind in map(_only, wanted):
        return LET_IN
    names = " or ".join(repr(each) for each in (call.scope, call.or_scope) if each is not None)
    return f"403 forbidden, lacks {names}"


async def verdicts(
    call: Call, holders: Holders, kept: tuple[Scope, ...], ask: Ask
) -> dict[str, tuple[str, str]]:
    """Return what each kind of token is expected to get from *call*, and what it got."""
    shown = {**holders.tokens, _all_but(call): _all_but(call)}
    path = re.sub(r"\{[^}]+\}", "x", call.path)
    return {
        kind: (expected(call, kind, kept), _verdict(*await ask(call.method, path, token)))
        for kind, token in shown.items()
    }


def _verdict(status: int, problem: Any) -> str:
    if status not in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return LET_IN
    code, detail = problem["code"], problem["detail"]
    if code == "narrowed" and "this call is about everything" not in detail:
        return LET_IN  # the call itself says that there is nothing for this token
    lacks = detail.partition(" lacks the scope ")[2]
    return f"{status} {code}" + (f", lacks {lacks}" if lacks else "")


def _only(scope: Scope) -> str:
    return f"only {scope}"


def _all_but(call: Call) -> str:
    return f"all but {' and '.join(sorted(wanted_by(call))) or 'nothing'}"
