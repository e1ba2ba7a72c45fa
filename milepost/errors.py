"""Errors we expect.

Two families, and the difference matters.  A ServiceError is part of normal
operation: it is caught, counted and told to the caller.  An InvariantError
means this program is wrong: nothing catches it, the process stops, and the
supervisor starts a fresh one from what is on disk.
"""

from typing import Any, ClassVar


class ServiceError(Exception):
    """Base of every expected error.  `code` is public API; the text is not."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "The service failed"

    def members(self) -> dict[str, Any]:
        """Return what a program is told beside the text."""
        return {}


class RejectedError(ServiceError):
    """The request is wrong.  Sending it again unchanged will fail again."""

    code = "rejected"
    status = 400
    title = "The request is not acceptable"


class FieldError(RejectedError):
    """One field or parameter is wrong.  Says what is accepted, and of what shape the value was.

    The value itself is not repeated: it may be long, or secret.
    """

    def __init__(self, *, field: str, accepted: str, got: str) -> None:
        super().__init__(f"{field}: want {accepted}; got {got}")
        self.field = field
        self.accepted = accepted
        self.got = got

    def members(self) -> dict[str, Any]:
        """Return the field, what it may hold, and what it held."""
        return {"field": self.field, "accepted": self.accepted, "got": self.got}


class UnauthorizedError(RejectedError):
    """Nobody we know: the bearer token is missing or unknown."""

    code = "unauthorized"
    status = 401
    title = "A valid bearer token is needed"


class ForbiddenError(RejectedError):
    """Somebody we know who may not do this.  The text names the missing scope."""

    code = "forbidden"
    status = 403
    title = "The token lacks a scope"


class NarrowedError(ForbiddenError):
    """Somebody whose token is restricted to hosts or tags.  The text names what is missing."""

    code = "narrowed"
    title = "The token is restricted"


class NotFoundError(RejectedError):
    """Nothing has that name."""

    code = "not_found"
    status = 404
    title = "No such thing"


class ConflictError(RejectedError):
    """What is there contradicts the request: read again before repeating it."""

    code = "conflict"
    status = 409
    title = "The request contradicts what is there"


class StaleError(RejectedError):
    """The caller has seen an older version than the one that is there, which is `version`."""

    code = "stale"
    status = 412
    title = "It has changed since it was read"

    def __init__(self, text: str, *, version: int) -> None:
        super().__init__(text)
        self.version = version

    def members(self) -> dict[str, Any]:
        """Return the version that is there."""
        return {"version": self.version}


class TooLargeError(RejectedError):
    """More than we take in one piece.  The text names the limit."""

    code = "too_large"
    status = 413
    title = "More than one request may hold"


class TooBroadError(RejectedError):
    """Answering would take more work than one question may cost.  The text says what to narrow."""

    code = "too_broad"
    status = 422
    title = "The question is too broad"


class TooManyError(RejectedError):
    """More calls than this caller may make: ask again after `retry_after_seconds`."""

    code = "too_many"
    status = 429
    title = "Too many calls"

    def __init__(self, text: str, *, retry_after_seconds: int = 1) -> None:
        super().__init__(text)
        self.retry_after_seconds = retry_after_seconds


class UnknownEdgeError(RejectedError):
    """An address box is from an edge whose token is not known here."""

    code = "unknown_edge"


class UnavailableError(ServiceError):
    """It may have happened or not; ask again.  Every write is safe to repeat."""

    code = "unavailable"
    status = 503
    title = "Not available now"


class ConfigError(Exception):
    """The surroundings are wrong: a setting, a file, a port.

    Ends the program with exit status 2 and this text, which says what to do.
    """


class DamagedError(ConfigError):
    """A database that was ours and cannot be read any more."""


class InvariantError(Exception):
    """A promise of our own code is broken.  Never caught."""
