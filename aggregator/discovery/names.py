"""Asking a DNS for names of the private network.

That a name does not exist, or has nothing of the kind, is an answer: an empty
one.  That nobody answers, or with an error, is an UnavailableError.  Every wait
is bounded, and so is what an answer may hold.
"""

import ipaddress
import socket

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver
from aiohttp.abc import AbstractResolver, ResolveResult

from milepost.config import Listener
from milepost.errors import ConfigError, UnavailableError

TRY_SECONDS, ANSWER_SECONDS = 1.0, 3.0
ADDRESSES_MAX = 500
PRIVATE_SUFFIX = ".internal"


class Names:
    """The names that one DNS knows."""

    def __init__(self, server: Listener | None) -> None:
        """Ask *server*, or those that this machine is configured with."""
        try:
            resolver = dns.asyncresolver.Resolver(configure=server is None)
        except dns.resolver.NoResolverConfiguration as error:
            msg = "this machine names no DNS in /etc/resolv.conf; name one with MILEPOST_DNS"
            raise ConfigError(msg) from error
        if server is not None:
            resolver.nameservers = [dns.nameserver.Do53Nameserver(server.host, server.port)]
        resolver.timeout, resolver.lifetime = TRY_SECONDS, ANSWER_SECONDS
        self._resolver = resolver

    async def texts(self, name: str) -> list[tuple[bytes, ...]]:
        """Return the TXT records of *name*, each as the strings it is cut into."""
        return [tuple(each.strings) for each in await self._ask(name, dns.rdatatype.TXT)]

    async def addresses(self, name: str) -> frozenset[str]:
        """Return the IPv6 addresses of *name*."""
        found = frozenset(
            str(ipaddress.IPv6Address(each.address))
            for each in await self._ask(name, dns.rdatatype.AAAA)
        )
        if len(found) > ADDRESSES_MAX:
            msg = f"{name}: more than {ADDRESSES_MAX} addresses"
            raise UnavailableError(msg)
        return found

    async def _ask(
        self, name: str, kind: dns.rdatatype.RdataType
    ) -> dns.resolver.Answer | tuple[()]:
        try:
            return await self._resolver.resolve(
                dns.name.from_text(name), kind, search=False, raise_on_no_answer=False
            )
        except dns.resolver.NXDOMAIN:
            return ()
        except (dns.exception.DNSException, OSError, ValueError) as error:
            msg = f"{name}: the DNS does not answer ({type(error).__name__})"
            raise UnavailableError(msg) from error


class PrivateResolver(AbstractResolver):
    """Finds names of the private network through *names*, and all others through *others*."""

    def __init__(self, names: Names, others: AbstractResolver) -> None:
        self._names = names
        self._others = others

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return where *host* is."""
        if not host.rstrip(".").endswith(PRIVATE_SUFFIX):
            return await self._others.resolve(host, port, family)
        try:
            found = await self._names.addresses(host)
        except UnavailableError as error:
            raise OSError(None, str(error)) from error
        if not found:
            msg = f"{host}: the DNS does not know it"
            raise OSError(None, msg)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in sorted(found)
        ]

    async def close(self) -> None:
        """Close what finds the others."""
        await self._others.close()
