"""Hostile requests, made systematically: families of one idea each, times its variants.

Every one is the same on every run.  `whole` ones have a request line and all
headers, or can be told to be no HTTP from what is there: they have to be
answered at once.  The others wait for something that never comes.
"""

from collections.abc import Iterator
from typing import NamedTuple

ANY = tuple(range(200, 500))
REFUSED = (400,)
REDIRECTED = (302,)
TARGET = b"/e/example.com/a"


class Hostile(NamedTuple):
    """What is sent, and the statuses that will do."""

    name: str
    data: bytes
    statuses: tuple[int, ...] = ANY
    location: bytes | None = None


def get(target: bytes = TARGET, *lines: bytes, host: bytes | None = b"h.example") -> bytes:
    """Return a GET."""
    return request(b"GET %b HTTP/1.1" % target, *lines, host=host)


def request(first: bytes, *lines: bytes, host: bytes | None = b"h.example") -> bytes:
    """Return a request line and headers."""
    hosts = () if host is None else (b"Host: %b" % host,)
    return b"\r\n".join((first, *hosts, *lines, b"", b""))


def whole() -> list[Hostile]:
    """Return every request that has to be answered."""
    families = (
        *(target_bytes(), encoded_bytes(), header_bytes(), host_bytes(), first_line_bytes()),
        *(hosts(), targets(), sizes(), framing(), bodies(), versions(), methods(), line_ends()),
        *(strange_headers(), other_protocols(), pipelines()),
    )
    return [each for family in families for each in family]


def target_bytes() -> Iterator[Hostile]:
    """Every byte, raw, in a target."""
    for byte in range(256):
        target = TARGET + bytes([byte]) + b"b"
        if 0x21 <= byte <= 0x7E:
            yield Hostile(f"target {byte:02x}", get(target), REDIRECTED, b"https:/" + target[2:])
        else:
            yield Hostile(f"target {byte:02x}", get(target), REFUSED)


def encoded_bytes() -> Iterator[Hostile]:
    """Every byte, percent-encoded, in a target: it passes as it is."""
    for byte in range(256):
        target = TARGET + b"%%%02X?q=%%%02x" % (byte, byte)
        yield Hostile(f"encoded {byte:02x}", get(target), REDIRECTED, b"https:/" + target[2:])


def header_bytes() -> Iterator[Hostile]:
    """Every byte in the name and in the value of a header that is kept, and of one that is not."""
    for byte in range(256):
        raw = bytes([byte])
        statuses = REFUSED if byte in (0, 10, 13) else ANY
        yield Hostile(f"agent {byte:02x}", get(TARGET, b"User-Agent: a" + raw + b"b"), statuses)
        yield Hostile(f"other {byte:02x}", get(TARGET, b"X-Other: a" + raw + b"b"), statuses)
        yield Hostile(f"name {byte:02x}", get(TARGET, b"X" + raw + b"Y: a"))


def host_bytes() -> Iterator[Hostile]:
    """Every byte in a host; what no host has is refused."""
    for byte in range(256):
        fine = chr(byte).isascii() and (chr(byte).isalnum() or chr(byte) in "._-")
        host = b"h" + bytes([byte]) + b"x"
        yield Hostile(f"host {byte:02x}", get(host=host), REDIRECTED if fine else REFUSED)


def first_line_bytes() -> Iterator[Hostile]:
    """Bytes of eight bits and controls in a method and a version."""
    for byte in (*range(0, 33, 4), 0x7F, 0x80, 0xC3, 0xFF):
        raw = bytes([byte])
        yield Hostile(f"method {byte:02x}", request(b"GE" + raw + b"T / HTTP/1.1"), REFUSED)
        yield Hostile(f"version {byte:02x}", request(b"GET / HTTP/1." + raw), REFUSED)
        yield Hostile(f"scheme {byte:02x}", request(b"GET / HT" + raw + b"P/1.1"), REFUSED)


def hosts() -> Iterator[Hostile]:
    """Missing, doubled, and what is no host with or without a port."""
    yield Hostile("no host", get(host=None), REFUSED)
    yield Hostile("no host in 1.0", request(b"GET %b HTTP/1.0" % TARGET, host=None), REDIRECTED)
    yield Hostile("two hosts", get(TARGET, b"Host: other.example"), REFUSED)
    yield Hostile("one host twice", get(TARGET, b"host: h.example"), REFUSED)
    bad = (
        *(b"", b" ", b"a@b", b"u:p@b", b"a/b", b"a?b", b"a#b", b"a,b", b"a b", b"a:", b":80"),
        *(b"a:http", b"a:123456", b"a:-1", b"a:80:80", b"[::1", b"::1", b"[]", b"[zz]", b"a\\b"),
        *(b"http://a", b"a%2fb", b"%00", b"a" * 256, "bücher.example".encode(), b"*", b"<a>"),
    )
    for host in bad:
        yield Hostile(f"bad host {host[:12]!r}", get(host=host), REFUSED)
        old = request(b"GET %b HTTP/1.0" % TARGET, host=host)
        yield Hostile(f"bad host in 1.0 {host[:12]!r}", old, REFUSED)
    for host in (b"a", b"A.B", b"a.", b"a:0", b"a:65535", b"1.2.3.4:80", b"[::1]", b"[::1]:80"):
        yield Hostile(f"good host {host!r}", get(host=host), REDIRECTED)


def targets() -> Iterator[Hostile]:
    """Forms of a target that are not a path, and paths that want to be something else."""
    refused = (
        *(b"http://h.example/e/example.com/a", b"https://h.example/", b"//", b"ftp://a/b"),
        *(b"h.example:443", b"*", b"e/example.com/a", b"?a", b"#a", b"\\a", b"http:", b"http://"),
        *(b"http://[", b"http://[::1", b"http://a:b/", b"http://a:99999999/", b"javascript:a"),
        *(b"%2Fe/example.com/a", b"/\x00", "/é".encode(), b"/\xff\xfe", b"/\xed\xa0\x80", b"/ a"),
    )
    for target in refused:
        statuses = ANY if target == b"//" else REFUSED
        yield Hostile(f"target {target[:24]!r}", get(target), statuses)
    others = (
        *(b"//example.com/a", b"///", b"/..", b"/../../etc/passwd", b"/e/../e/example.com/a"),
        *(b"/e/", b"/e//", b"/e///", b"/e/,", b"/e,", b"/e,/", b"/e,a=b", b"/e/user@example.com/"),
        *(
            b"/e/javascript:alert(1)",
            b"/e/http://",
            b"/e/https://a@b/c",
            b"/e/[::1]/a",
            b"/#",
            b"/?",
        ),
        *(b"/e/example.com:0/a", b"/e/example.com:99999/a", b"/e/localhost/a", b"/e/http:///a/b"),
        *(b"/e/example.com/%0d%0aSet-Cookie:a=b", b"/e/example.com/\\..\\", b"/e/a..b/c", b"/%"),
        *(b"/e/example.com/%", b"/e/example.com/%zz", b"/e/" + b"/" * 500, b"/" + b"?" * 500),
        *(
            b"/e/" + b"a." * 1_000 + b"b/c",
            b"/e," + b"," * 1_000 + b"/a.b/c",
            b"/[",
            b"/]:@[",
            b"/:@",
        ),
    )
    for target in others:
        yield Hostile(f"target {target[:24]!r}", get(target))


def sizes() -> Iterator[Hostile]:
    """Just enough, just too much, and far too much."""
    for count in (4_095, 4_096):
        target = TARGET + b"a" * (count - len(TARGET))
        yield Hostile(f"target of {count}", get(target), REDIRECTED, b"https:/" + target[2:])
    for count in (4_097, 5_000, 8_000, 8_189, 8_190, 8_191, 9_000, 16_384, 65_536, 1_000_000):
        yield Hostile(f"target of {count}", get(b"/" + b"a" * (count - 1)), (400, 414))
    for count in (1_000, 4_000, 7_900):
        yield Hostile(f"value of {count}", get(TARGET, b"X: " + b"a" * count), REDIRECTED)
    for count in (8_191, 9_000, 16_384, 65_536, 1_000_000):
        yield Hostile(f"value of {count}", get(TARGET, b"X: " + b"a" * count), (400, 431))
        yield Hostile(f"name of {count}", get(TARGET, b"a" * count + b": X"), (400, 431))
    for count in (10, 60, 100):
        yield Hostile(f"{count} headers", get(TARGET, *(b"a: b",) * count), REDIRECTED)
    for count in (130, 1_000, 10_000, 100_000):
        yield Hostile(f"{count} headers", get(TARGET, *(b"a: b",) * count), (400, 431))
        yield Hostile(f"{count} empty headers", get(TARGET, *(b"a:",) * count), (400, 431))
        yield Hostile(f"{count} agents", get(TARGET, *(b"User-Agent: b",) * count), (400, 431))
    for lines, each in ((3, 6_000), (5, 4_000), (17, 1_000), (100, 200), (1_000, 1_000)):
        filled = (b"X: " + b"a" * each,) * lines
        yield Hostile(f"{lines} headers of {each}", get(TARGET, *filled), (400, 431))
    filled = (b"X: " + b"a" * 1_000,) * 15
    yield Hostile("15 headers of 1000", get(TARGET, *filled), REDIRECTED)


def framing() -> Iterator[Hostile]:
    """Lengths and codings that servers have disagreed about."""
    post = b"POST %b HTTP/1.1" % TARGET
    lengths = (
        *(b"-1", b"+1", b"1,1", b"1, 2", b"0x1", b"1e3", b"a", b"1 1", b"9" * 30, b"1;", b"1.0"),
        *(b"18446744073709551616", b"", b" ", b"\xb2", b"\xd9\xa1"),
    )
    for length in lengths:
        yield Hostile(f"length {length!r}", request(post, b"Content-Length: " + length), REFUSED)
    codings = (
        *(b"chunked, identity", b"identity", b"gzip", b"chunked, chunked, gzip", b"xchunked"),
        *(b"chunkedx", b"\x0bchunked", b"chunked;q=1", b"'chunked'"),
    )
    for coding in codings:
        first = request(post, b"Transfer-Encoding: " + coding)
        yield Hostile(f"coding {coding!r}", first + b"0\r\n\r\n", REFUSED)
    both = (b"Content-Length: 5", b"Transfer-Encoding: chunked")
    yield Hostile("length and coding", request(post, *both) + b"0\r\n\r\n", REFUSED)
    yield Hostile("coding and length", request(post, *both[::-1]) + b"0\r\n\r\n", REFUSED)
    yield Hostile("both in a GET", get(TARGET, *both), REFUSED)
    twice = (b"Content-Length: 1", b"Content-Length: 2")
    yield Hostile("two lengths", request(post, *twice) + b"a", REFUSED)
    yield Hostile("one length twice", request(post, *twice[:1] * 2) + b"a", REFUSED)
    yield Hostile("length with space", request(post, b"Content-Length : 1") + b"a", REFUSED)
    yield Hostile("coding with space", request(post, b"Transfer-Encoding : chunked"), REFUSED)
    yield Hostile("two codings", request(post, *both[1:] * 2) + b"0\r\n\r\n")
    old = request(b"POST %b HTTP/1.0" % TARGET, b"Transfer-Encoding: chunked")
    yield Hostile("coding in 1.0", old + b"0\r\n\r\n")


def bodies() -> Iterator[Hostile]:
    """A body is nobody's business: the head is answered, whatever comes of the rest."""
    chunked = b"Transfer-Encoding: chunked"
    chunks = (
        *(b"", b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"zz\r\n", b"-1\r\n", b"f" * 40 + b"\r\n"),
        *(
            b"5\r\nhel",
            b"5\nhello\n0\n\n",
            b"1;a=" + b"b" * 20_000 + b"\r\n",
            b"0\r\nX: \x00\r\n\r\n",
        ),
        *(b"ffffffffffffffff\r\na", b"0x5\r\nhello", b"\r\n" * 100, b"5\r\nhelloGET / HTTP/1.1"),
        *(
            b"1\r\na\r\n" * 20_000,
            b"0\r\n" + b"a: b\r\n" * 20_000,
            b" 5\r\nhello\r\n",
            b"\xff" * 99,
        ),
    )
    for method in (b"POST", b"PUT", b"GET", b"DELETE", b"OPTIONS"):
        for number, body in enumerate(chunks):
            data = request(b"%b %b HTTP/1.1" % (method, TARGET), chunked) + body
            yield Hostile(f"{method.decode()} chunks {number}", data)
        for length, sent in ((5, 0), (5, 5), (5, 500), (10**9, 10), (10**18, 0), (10**6, 10**6)):
            first = request(b"%b %b HTTP/1.1" % (method, TARGET), b"Content-Length: %d" % length)
            yield Hostile(f"{method.decode()} {sent} of {length}", first + b"b" * sent)
    expect = (b"Content-Length: 5", b"Expect: 100-continue")
    yield Hostile("expect", request(b"POST %b HTTP/1.1" % TARGET, *expect), REDIRECTED)
    yield Hostile("expect in a GET", get(TARGET, b"Expect: 100-continue"), REDIRECTED)
    yield Hostile("expect too much", get(TARGET, b"Expect: the-moon"))
    zipped = (b"Content-Encoding: gzip", b"Content-Length: 3")
    yield Hostile("no gzip", request(b"POST %b HTTP/1.1" % TARGET, *zipped) + b"abc", REDIRECTED)


def versions() -> Iterator[Hostile]:
    """Versions that are not ours."""
    for version in (b"0.9", b"1.2", b"1.9", b"2.0", b"3.0", b"9.9", b"1", b"1.10", b"11", b"-1.1"):
        yield Hostile(f"version {version!r}", request(b"GET / HTTP/" + version), REFUSED)
    for text in (b"HTTP/1.1 x", b"http/1.1", b"ICE/1.0", b"HTTPS/1.1", b"HTTP 1.1", b"1.1"):
        yield Hostile(f"version {text!r}", request(b"GET / " + text), REFUSED)
    yield Hostile("a relative's version", request(b"GET / RTSP/1.0"))  # aiohttp's parser knows it
    yield Hostile("0.9 with an empty line", b"GET /\r\n\r\n", REFUSED)
    yield Hostile("0.9 with headers", request(b"GET /"), REFUSED)


def methods() -> Iterator[Hostile]:
    """Methods that exist, that do not, and that ask for another protocol."""
    for method in (b"HEAD", b"OPTIONS", b"TRACE", b"PATCH", b"PROPFIND", b"M-SEARCH", b"PURGE"):
        yield Hostile(f"method {method!r}", request(method + b" %b HTTP/1.1" % TARGET))
    no_methods = (
        *(b"get", b"Get", b"GETT", b"GE", b"FOO", b"", b" GET", b"G\tET", b"A" * 9_000, b"GET\t"),
        *(b"\xffGET", b"(GET)", b"GET,HEAD", b"0"),
    )
    for method in no_methods:
        yield Hostile(f"method {method[:9]!r}", request(method + b" / HTTP/1.1"), REFUSED)
    yield Hostile("two spaces", request(b"GET  / HTTP/1.1"))
    for target in (
        b"example.com:443",
        b"example.com",
        b"/",
        b"[::1]:1",
        b"a:b:c",
        b"@",
        b":",
        b"*",
    ):
        data = request(b"CONNECT %b HTTP/1.1" % target)
        yield Hostile(f"connect {target!r}", data)
        yield Hostile(f"connect {target!r} and talk", data + b"\x16\x03\x01" * 50)
    for name in (b"websocket", b"h2c", b"TLS/1.0", b"\xff", b"websocket, h2c"):
        lines = (b"Upgrade: " + name, b"Connection: Upgrade", b"Sec-WebSocket-Version: 13")
        yield Hostile(f"upgrade {name!r}", get(TARGET, *lines), REDIRECTED)
        yield Hostile(f"upgrade {name!r} and talk", get(TARGET, *lines) + b"\x81\x05hello" * 50)
    yield Hostile("old websocket", get(TARGET, b"Sec-WebSocket-Key1: a"))


def line_ends() -> Iterator[Hostile]:
    """Line ends that are not CR LF."""
    plain = get(TARGET, b"X-Y: z")
    for name, end in (("LF", b"\n"), ("CR", b"\r"), ("CR CR LF", b"\r\r\n"), ("LF CR", b"\n\r")):
        yield Hostile(f"lines end in {name}", plain.replace(b"\r\n", end), REFUSED)
        first, _, rest = plain.partition(b"\r\n")
        yield Hostile(f"first line ends in {name}", first + end + rest, REFUSED)
    for line in (b" folded", b"\tfolded", b": empty", b"nothing", b" : x", b"a b: c", b"a\x00: b"):
        yield Hostile(f"line {line!r}", get(TARGET, b"X: y", line), REFUSED)
    yield Hostile("folded first", get(TARGET, b" X: y", host=None), REFUSED)
    for empty in (b"\r\n", b"\n", b"\r\n" * 500):
        yield Hostile(f"{len(empty)} bytes of empty lines first", empty + plain, REDIRECTED)


def strange_headers() -> Iterator[Hostile]:
    """Headers of which an answer or a record could be made."""
    names = (
        *(b"X-Forwarded-For", b"Fly-Client-IP", b"Forwarded", b"Referer", b"User-Agent", b"Range"),
        *(b"Accept-Language", b"X-Playback-Session-Id", b"Sec-GPC", b"DNT", b"Connection"),
        *(b"X-Forwarded-Host", b"X-HTTP-Method-Override", b"Cookie", b"Keep-Alive", b"Via"),
    )
    values = (
        *(
            b"",
            b"\xff\xfe\x80",
            "İ\u202e\ufeff".encode(),
            b"a" * 4_000,
            b"%0d%0aX: y",
            b"=cmd|' /C'!A0",
        ),
        *(b"' OR 1=1 --", b"${jndi:ldap://a}", b"<script>", b"\xed\xa0\x80", b"close, keep-alive"),
    )
    for name in names:
        for number, value in enumerate(values):
            yield Hostile(f"{name.decode()} {number}", get(TARGET, name + b": " + value))


def other_protocols() -> Iterator[Hostile]:
    """Those who knocked at the wrong port."""
    hello = bytes.fromhex("16030100c8010000c40303") + bytes(range(190))
    sent = {
        "TLS": hello,
        "SSL 2": b"\x80\x2e\x01\x00\x02\x00\x15" + bytes(40),
        "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
        "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
        "SMTP": b"EHLO example.com\r\n",
        "Redis": b"*1\r\n$4\r\nPING\r\n",
        "memcached": b"stats\r\n",
        "PROXY": b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + get(),
        "PROXY 2": b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes(12) + get(),
        "SOCKS 4": b"\x04\x01\x00\x50" + bytes(8),
        "SOCKS 5": b"\x05\x01\x00",
        "RDP": bytes.fromhex("0300001311e00000000000010008000b000000"),
        "PostgreSQL": bytes.fromhex("0000000804d2162f"),
        "zeros": bytes(5_000),
        "ones": b"\xff" * 5_000,
        "much": b"\x00\xff" * 500_000,
    }
    for name, data in sent.items():
        yield Hostile(name, data, REFUSED)


def pipelines() -> Iterator[Hostile]:
    """Several requests at once, sound and unsound."""
    for count in (2, 10, 100):
        yield Hostile(f"{count} at once", get() * count, REDIRECTED)
        yield Hostile(
            f"{count} with bodies", request(b"POST / HTTP/1.1", b"Content-Length: 1") * count
        )
    yield Hostile("sound, then not", get() + b"\x00\x01", REDIRECTED)
    yield Hostile("not, then sound", b"\x00\x01" + get(), REFUSED)
    yield Hostile("close, then another", get(TARGET, b"Connection: close") + get(), REDIRECTED)
    yield Hostile("sound, then a flood", get() + b"a" * 1_000_000, REDIRECTED)


def unfinished() -> list[Hostile]:
    """Return what waits for something that never comes: nothing of it may be answered well."""
    head = get(TARGET, b"User-Agent: a/1", b"X-Other: b")
    found = [Hostile("nothing", b""), Hostile("empty lines", b"\r\n" * 10)]
    found += [Hostile(f"{end} bytes", head[:end]) for end in range(1, len(head))]
    found += [
        Hostile("0.9", b"GET /\r\n"),
        Hostile("half a post", request(b"POST / HTTP/1.1", b"Content-Length: 9")[:-2]),
        Hostile("a sound one, then half", get() + head[:30]),
        Hostile("two sound ones, then half", get() * 2 + head[:-1]),
    ]
    return found
