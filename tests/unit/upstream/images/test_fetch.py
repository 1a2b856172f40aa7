"""Image URLs: what is fetched, what is refused, and that refused means "not even a connection".

Names are answered by `Names`. Connections are counted, and led to a server of the test, by `Net`: so the tests speak of
public addresses, with the real rules about them, and still nothing leaves this machine.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import ipaddress
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import InvalidRequestError, OverloadedError
from app.memory import FREE_BYTES, Budget, Share
from app.upstream.images.addresses import is_public
from app.upstream.images.fetch import MAX_IMAGES, ImageFetcher
from tests.support.authority import Authority

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
JPEG = b"\xff\xd8\xff\xe0" + b"\0" * 20
GIF = b"GIF89a" + b"\0" * 20
WEBP = b"RIFF\x24\0\0\0WEBPVP8 " + b"\0" * 20

PUBLIC = "93.184.216.34"
OTHER_PUBLIC = "8.8.8.8"
PUBLIC_V6 = "2606:2800:220:1::1"
PATIENCE_S = 600.0
"""Longer than a test may take: no deadline decides but where a test names one."""
REPO = Path(__file__).resolve().parents[4]

Answer = Callable[[socket.socket, bytes], None]


# --- Stand-ins -------------------------------------------------------------------------------------------------------


class Server:
    """HTTP server on 127.0.0.1, one connection at a time. Keeps the heads of all requests."""

    def __init__(self) -> None:
        self.answer: Answer = send(reply(PNG))
        self.tls: ssl.SSLContext | None = None
        self.greeting = b""  # sent before anything is read
        self.accepted = 0
        self.heads: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def read_head(self, conn: socket.socket) -> bytes:
        head = b""
        while b"\r\n\r\n" not in head:
            data = conn.recv(4096)
            if not data:
                raise ConnectionError
            head += data
        self.heads.append(head.decode("latin-1"))
        return head

    def headers(self, index: int = -1) -> dict[str, str]:
        lines = self.heads[index].split("\r\n\r\n")[0].split("\r\n")[1:]
        return dict(line.split(": ", 1) for line in lines)

    def _serve(self) -> None:
        while True:
            try:
                conn, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            conn.settimeout(10)
            with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
                stack.enter_context(conn)
                conn.sendall(self.greeting)
                if self.tls is not None:
                    conn = stack.enter_context(self.tls.wrap_socket(conn, server_side=True))
                self.answer(conn, self.read_head(conn))


class Names:
    """Like `socket.getaddrinfo`. `answers[name]` is a list of addresses, or a list of such lists, one per call."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, list[Any]] = {
            "public.example": [PUBLIC],
            "other.example": [OTHER_PUBLIC],
            "xn--bcher-kva.example": [PUBLIC],
            "loop.example": ["127.0.0.1"],
            "loop6.example": ["::1"],
            "zone.example": ["fe80::1%lo"],
            "mixed.example": [PUBLIC, "10.0.0.7"],
            "mixed6.example": [PUBLIC, "fd00::7"],
            "mapped.example": ["::ffff:10.0.0.7"],
            "empty.example": [],
            "localhost": ["127.0.0.1"],
            "redis": ["172.18.0.2"],
        }

    def __call__(self, host: str, port: int, *, type: int) -> list[tuple[Any, ...]]:
        assert type == socket.SOCK_STREAM
        self.asked.append(host)
        found = self.answers.get(host)
        if found is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if found and isinstance(found[0], list):
            found = found.pop(0)
        return [(socket.AF_UNSPEC, type, 6, "", (address, port)) for address in found]


class Net:
    """What urllib3 connects to, led to the server of the test instead."""

    def __init__(self, server: Server) -> None:
        self.dialled: list[tuple[str, int]] = []
        self.dead: dict[str, OSError] = {}
        self.timeouts: list[float] = []
        self._server = server

    def create_connection(self, address: tuple[str, int], timeout: float, **_: object) -> socket.socket:
        self.dialled.append(address)
        self.timeouts.append(timeout)
        if address[0] in self.dead:
            raise self.dead[address[0]]
        return socket.create_connection(("127.0.0.1", self._server.port), timeout)


class TickingClock:
    """Every look at it takes `step` seconds."""

    def __init__(self, step: float) -> None:
        self.now = 0.0
        self.step = step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def reply(body: bytes = b"", status: str = "200 OK", *, length: bool = True, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def redirect(location: str, status: str = "302 Found") -> bytes:
    return reply(status=status, Location=location)


def send(*replies: bytes) -> Answer:
    """Answer with `replies` one after the other; the last one again and again."""
    queue = list(replies)

    def answer(conn: socket.socket, head: bytes) -> None:
        conn.sendall(queue.pop(0) if len(queue) > 1 else queue[0])

    return answer


def data_url(body: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(body).decode()}"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def names() -> Names:
    return Names()


@pytest.fixture
def net(server: Server, monkeypatch: pytest.MonkeyPatch) -> Net:
    net = Net(server)
    monkeypatch.setattr("urllib3.util.connection.create_connection", net.create_connection)
    return net


@pytest.fixture
def fetcher(net: Net, names: Names, authority: Authority) -> Callable[..., ImageFetcher]:
    def make(**options: Any) -> ImageFetcher:
        usual = {"max_bytes": 100_000, "timeout_s": PATIENCE_S, "resolve": names, "verify": authority.bundle}
        return ImageFetcher(**{**usual, **options})

    return make


def refusal(fetcher: ImageFetcher, url: str) -> str:
    """The message of the error that fetching `url` must end in."""
    with pytest.raises(InvalidRequestError) as caught:
        fetcher.fetch(url)
    assert caught.value.status == 400
    assert caught.value.param == "image_url"
    assert "data: URL" in caught.value.message
    return caught.value.message


# --- Refused before any connection -----------------------------------------------------------------------------------

NOT_REACHABLE = "does not exist, or is not on the public internet"

REFUSED_ADDRESSES = [
    "http://127.0.0.1/",
    "http://127.0.0.1:6379/",
    "http://127.0.0.1./",
    "http://127.8.9.10/",
    "http://0.0.0.0/",
    "http://0.1.2.3/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://100.100.100.200/latest/meta-data/",
    "http://169.254.169.254/latest/meta-data/?secret=1",
    "https://169.254.169.254/",
    "http://168.63.129.16/machine?comp=goalstate",
    "http://192.0.0.192/opc/v2/",
    "http://192.0.2.1/",
    "http://192.88.99.1/",
    "http://198.18.0.1/",
    "http://198.19.255.255/",
    "http://198.51.100.1/",
    "http://203.0.113.1/",
    "http://224.0.0.1/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://[::1]/",
    "http://[::]/",
    "http://[::1]:8080/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::ffff:169.254.169.254]/",
    "http://[::127.0.0.1]/",
    "http://[::8.8.8.8]/",
    "http://[64:ff9b::127.0.0.1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[64:ff9b:1::1]/",
    "http://[64:ff9b:1::808:808]/",
    "http://[2002:7f00:1::]/",
    "http://[2002:a00:1::1]/",
    "http://[2001:0:4136:e378:8000:63bf:80ff:fffe]/",
    "http://[2001:db8::1]/",
    "http://[2001:2::1]/",
    "http://[3fff::1]/",
    "http://[100::1]/",
    "http://[5f00::1]/",
    "http://[fc00::1]/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://[fe80::1]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://localhost/",
    "http://localhost./",
    "http://LOCALHOST:8080/",
    "http://redis:6379/",
    "http://loop.example/",
    "http://LOOP.Example./",
    "http://loop6.example/",
    "http://zone.example/",
    "http://mixed.example/",
    "http://mixed6.example/",
    "http://mapped.example/",
    "http://empty.example/",
    "http://unknown.example/",
]

REFUSED_URLS = [
    # numbers that getaddrinfo would take for 127.0.0.1 or 169.254.169.254
    "http://2130706433/",
    "http://0177.0.0.1/",
    "http://0x7f.1/",
    "http://0x7f000001/",
    "http://0X7F.0.0.0x1/",
    "http://127.1/",
    "http://127.0.1/",
    "http://127.0.0.01/",
    "http://0/",
    "http://2852039166/",
    "http://0xa9.0xfe.0xa9.0xfe/",
    "http://127.0.0.1.0x/",
    "http://127.0.0.256/",
    "http://127。0。0。1/",
    "http://１２７.0.0.1/",
    # who is the host?
    "http://example.com@127.0.0.1/",
    "http://user:secret@public.example/",
    "http://@public.example/",
    "http://public.example\\@127.0.0.1/",
    "http://public.example\\.loop.example/",
    "http://public.example#@127.0.0.1/ ",
    "http://public.example:80:80/",
    "http://public.example:80@127.0.0.1/",
    "http://[::1]public.example/",
    "http://public.example[::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[fe80::1%eth0]/",
    "http://[::1%2525lo]/",
    "http://[v1.abc]/",
    "http://[127.0.0.1]/",
    "http://[::1/",
    "http://::1/",
    "http://[]/",
    "http://public.example:0/",
    "http://public.example:65536/",
    "http://public.example:-80/",
    "http://public.example:٨٠/",
    "http://public.example:8 0/",
    "http://public%2eexample/",
    "http://public.example%00.loop.example/",
    "http://public..example/",
    "http://.public.example/",
    "http://public.example../",
    "http://-public.example/",
    "http://public!.example/",
    "http://" + "a" * 64 + ".example/",
    "http://" + "a." * 130 + "example/",
    "http://" + "ü" * 80 + ".example/",
    "http:///etc/passwd",
    "http:public.example/",
    "http:",
    "",
    # characters that one program drops and the next does not
    " http://public.example/",
    "http://public.example/\r\nX-Injected: 1",
    "http://public.example/\tcat.png",
    "http://public\n.example/",
    "http://public.example/a b",
    "http://public.example/\x00",
    "http://public.example/\x7f",
    "http://public.example/\u2028",
    "http://public.example/\u00a0",
    "http://public.example/\ud800",
    "http://public.example/" + "a" * 9000,
    # other schemes
    "ftp://public.example/cat.png",
    "gopher://127.0.0.1:6379/_INFO",
    "file:///etc/passwd",
    "file://public.example/etc/passwd",
    "dict://127.0.0.1:11211/",
    "ws://public.example/",
    "data:image/png;base64,AAAA",
    "//public.example/cat.png",
    "/cat.png",
    "public.example/cat.png",
]


@pytest.mark.parametrize("url", REFUSED_ADDRESSES)
def test_addresses_that_are_not_public_are_refused_without_a_connection(
    url: str, fetcher: Callable[..., ImageFetcher], net: Net, server: Server
) -> None:
    message = refusal(fetcher(), url)

    assert (net.dialled, server.accepted) == ([], 0)
    assert NOT_REACHABLE in message
    assert "secret" not in message


def test_all_refused_addresses_are_told_in_the_same_words(fetcher: Callable[..., ImageFetcher]) -> None:
    messages = {re.sub("'.*?'", "'…'", refusal(fetcher(), url)) for url in REFUSED_ADDRESSES}

    assert len(messages) == 1, "the words must not tell what exists on the inside"


def test_the_message_names_the_host_but_not_what_it_resolves_to(fetcher: Callable[..., ImageFetcher]) -> None:
    message = refusal(fetcher(), "http://mixed.example/private/path?token=abc")

    assert "'mixed.example'" in message
    assert not re.search("10\\.0|93\\.184|token|private/path", message)


@pytest.mark.parametrize("url", REFUSED_URLS, ids=lambda url: ascii(url)[:60])
def test_urls_that_can_be_read_in_two_ways_are_refused_without_a_lookup(
    url: str, fetcher: Callable[..., ImageFetcher], net: Net, names: Names, server: Server
) -> None:
    message = refusal(fetcher(is_allowed=lambda address: True), url)

    assert (names.asked, net.dialled, server.accepted) == ([], [], 0)
    assert "secret" not in message


def test_user_names_and_passwords_are_not_quoted(fetcher: Callable[..., ImageFetcher]) -> None:
    message = refusal(fetcher(), "http://alice:hunter2@public.example/cat.png?key=k")

    assert "'public.example'" in message
    assert not re.search("alice|hunter2|key", message)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (PUBLIC, True),
        (OTHER_PUBLIC, True),
        ("100.63.255.255", True),
        ("100.128.0.0", True),
        ("172.15.255.255", True),
        ("172.32.0.0", True),
        ("198.17.255.255", True),
        ("198.20.0.0", True),
        ("223.255.255.255", True),
        (PUBLIC_V6, True),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::8.8.8.8", True),
        ("2002:808:808::1", True),
        ("::ffff:192.168.0.1", False),
        ("64:ff9b::192.168.0.1", False),
        ("2002:c0a8:1::1", False),
        ("2001::1", False),
        ("fe80::1%eth0", False),
    ],
)
def test_is_public(address: str, expected: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is expected


@settings(derandomize=True, database=None, deadline=None)
@given(st.ip_addresses(v=4))
def test_what_python_calls_not_global_is_never_public_v4(address: ipaddress.IPv4Address) -> None:
    assert address.is_global or not is_public(address)


@settings(derandomize=True, database=None, deadline=None)
@given(st.ip_addresses(v=6))
def test_what_python_calls_not_global_is_never_public_v6(address: ipaddress.IPv6Address) -> None:
    embeds = address.ipv4_mapped or address.sixtofour
    assert address.is_global or embeds or not is_public(address)


# --- Pinning ---------------------------------------------------------------------------------------------------------


def test_a_name_is_looked_up_once_and_the_connection_goes_to_that_answer(
    fetcher: Callable[..., ImageFetcher], net: Net, names: Names, server: Server
) -> None:
    names.answers["rebind.example"] = [[PUBLIC], ["127.0.0.1"], ["127.0.0.1"]]

    assert fetcher().fetch("http://rebind.example:8000/cat.png") == data_url(PNG, "image/png")

    assert names.asked == ["rebind.example"]
    assert net.dialled == [(PUBLIC, 8000)]
    assert server.headers()["Host"] == "rebind.example:8000"


def test_a_redirect_to_the_same_name_is_judged_anew(
    fetcher: Callable[..., ImageFetcher], net: Net, names: Names, server: Server
) -> None:
    names.answers["rebind.example"] = [[PUBLIC], ["127.0.0.1"]]
    server.answer = send(redirect("/again"), reply(PNG))

    assert NOT_REACHABLE in refusal(fetcher(), "http://rebind.example/")

    assert net.dialled == [(PUBLIC, 80)]


def test_a_dead_address_gives_way_to_the_next_and_leaves_it_time(
    fetcher: Callable[..., ImageFetcher], net: Net, names: Names
) -> None:
    names.answers["public.example"] = [PUBLIC_V6, PUBLIC]
    net.dead[PUBLIC_V6] = OSError("Network is unreachable")

    fetcher(timeout_s=100.0, clock=lambda: 0.0).fetch("http://public.example/")

    assert net.dialled == [(PUBLIC_V6, 80), (PUBLIC, 80)]
    assert net.timeouts == [50.0, 100.0]


def test_no_more_than_a_few_addresses_are_tried(fetcher: Callable[..., ImageFetcher], net: Net, names: Names) -> None:
    many = [f"93.184.216.{n}" for n in range(1, 20)]
    names.answers["public.example"] = many
    net.dead = {address: ConnectionRefusedError(111, "refused") for address in many}

    assert "no connection to the server" in refusal(fetcher(), "http://public.example/")

    assert net.dialled == [(address, 80) for address in many[:4]]


@pytest.mark.parametrize(
    ("url", "dialled", "host", "request_line"),
    [
        ("http://public.example", (PUBLIC, 80), "public.example", "GET / HTTP/1.1"),
        ("HTTP://Public.Example.:80/a?b=c#d", (PUBLIC, 80), "public.example", "GET /a?b=c HTTP/1.1"),
        ("http://public.example:/a", (PUBLIC, 80), "public.example", "GET /a HTTP/1.1"),
        ("http://public.example:443/a", (PUBLIC, 443), "public.example:443", "GET /a HTTP/1.1"),
        ("http://public.example?a=%2F/../b", (PUBLIC, 80), "public.example", "GET /?a=%2F/../b HTTP/1.1"),
        ("http://public.example//a//b", (PUBLIC, 80), "public.example", "GET //a//b HTTP/1.1"),
        ("http://bücher.example/ä?ö", (PUBLIC, 80), "xn--bcher-kva.example", "GET /%C3%A4?%C3%B6 HTTP/1.1"),
        (f"http://{OTHER_PUBLIC}/", (OTHER_PUBLIC, 80), OTHER_PUBLIC, "GET / HTTP/1.1"),
        (f"http://[{PUBLIC_V6}]:81/", (PUBLIC_V6, 81), f"[{PUBLIC_V6}]:81", "GET / HTTP/1.1"),
        ("http://[::ffff:8.8.8.8]/", (OTHER_PUBLIC, 80), "[::ffff:808:808]", "GET / HTTP/1.1"),
    ],
)
def test_the_request_goes_to_the_address_and_names_the_host(
    url: str,
    dialled: tuple[str, int],
    host: str,
    request_line: str,
    fetcher: Callable[..., ImageFetcher],
    net: Net,
    server: Server,
) -> None:
    fetcher().fetch(url)

    assert net.dialled == [dialled]
    assert re.sub("(?i)ffff:8\\.8\\.8\\.8", "ffff:808:808", server.headers()["Host"]) == host
    assert server.heads[0].split("\r\n")[0] == request_line


def test_it_works_over_a_real_socket_without_stand_ins_for_connecting(server: Server) -> None:
    local = ImageFetcher(
        max_bytes=1000, timeout_s=PATIENCE_S, resolve=Names(), is_allowed=lambda address: str(address) == "127.0.0.1"
    )

    assert local.fetch(f"http://loop.example:{server.port}/") == data_url(PNG, "image/png")
    assert NOT_REACHABLE in refusal(local, f"http://public.example:{server.port}/")


def test_nothing_but_the_necessary_headers_is_sent(
    fetcher: Callable[..., ImageFetcher], server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine public.example login l password p\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    server.answer = send(reply(status="302 Found", Location="/b", Set_Cookie="a=b"), reply(PNG, Set_Cookie="c=d"))

    fetcher(user_agent="agent/1").fetch("http://public.example/a")

    for index in (0, 1):
        assert server.headers(index) == {
            "Host": "public.example",
            "User-Agent": "agent/1",
            "Accept": "image/png, image/jpeg, image/gif, image/webp",
            "Accept-Encoding": "identity",
            "Connection": "close",
        }


# --- Redirects -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["301 M", "302 F", "303 S", "307 T", "308 P"])
def test_redirects_are_followed_and_pinned_anew(
    status: str, fetcher: Callable[..., ImageFetcher], net: Net, server: Server
) -> None:
    server.answer = send(redirect("//other.example:8080/x/y?q", status), redirect("../z", status), reply(PNG))

    assert fetcher().fetch("http://public.example/") == data_url(PNG, "image/png")

    assert net.dialled == [(PUBLIC, 80), (OTHER_PUBLIC, 8080), (OTHER_PUBLIC, 8080)]
    assert [head.split("\r\n")[0] for head in server.heads[1:]] == ["GET /x/y?q HTTP/1.1", "GET /z HTTP/1.1"]
    assert server.headers()["Host"] == "other.example:8080"


def test_a_redirect_may_hold_utf8(fetcher: Callable[..., ImageFetcher], server: Server) -> None:
    server.answer = send(redirect("/größe"), reply(PNG))

    fetcher().fetch("http://public.example/")

    assert server.heads[1].startswith("GET /gr%C3%B6%C3%9Fe HTTP/1.1")


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://localhost:6379/",
        "http://loop.example/",
        "http://mixed.example/",
        "http://[::ffff:127.0.0.1]/",
        "http://0x7f.1/",
        "http://2130706433/",
        "http://example.com@127.0.0.1/",
        "http:\\\\127.0.0.1\\",
        "//127.0.0.1/",
        "file:///etc/passwd",
        "ftp://public.example/",
        "gopher://127.0.0.1:6379/_INFO",
        "data:image/png;base64,AAAA",
        "http://[::1",
        "http://public.example:99999/",
        "/a b",
        "/a\tb",
    ],
)
def test_redirects_to_what_is_refused_are_not_followed(
    location: str, fetcher: Callable[..., ImageFetcher], net: Net, server: Server
) -> None:
    server.answer = send(redirect(location), reply(PNG))

    refusal(fetcher(), "http://public.example/")

    assert (net.dialled, server.accepted) == ([(PUBLIC, 80)], 1)


def test_three_redirects_are_followed_and_a_fourth_is_not(
    fetcher: Callable[..., ImageFetcher], net: Net, server: Server
) -> None:
    server.answer = send(redirect("/1"), redirect("/2"), redirect("/3"), reply(PNG))
    fetcher().fetch("http://public.example/")
    assert server.accepted == 4

    server.answer = send(redirect("/loop"))
    assert "more than 3 redirects" in refusal(fetcher(), "http://public.example/")
    assert server.accepted == 8


# --- What is taken as an image ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (PNG, "image/png"),
        (JPEG, "image/jpeg"),
        (GIF, "image/gif"),
        (b"GIF87a" + GIF, "image/gif"),
        (WEBP, "image/webp"),
    ],
)
def test_the_media_type_is_taken_from_the_bytes(
    body: bytes, media_type: str, fetcher: Callable[..., ImageFetcher], server: Server
) -> None:
    server.answer = send(reply(body, Content_Type="text/html"))

    assert fetcher().fetch("http://public.example/") == data_url(body, media_type)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x89PNG",
        b"RIFF\x24\0\0\0WAVEfmt ",
        b"<html><body>hello</body></html>",
        b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>",
        b"root:x:0:0:root:/root:/bin/sh\n",
        b"BM" + b"\0" * 60,
        b" " + PNG,
    ],
)
def test_what_is_no_image_by_its_bytes_is_refused(
    body: bytes, fetcher: Callable[..., ImageFetcher], server: Server
) -> None:
    server.answer = send(reply(body, Content_Type="image/png"))

    message = refusal(fetcher(), "http://public.example/")

    assert "not a PNG, JPEG, GIF or WebP image" in message
    assert "'public.example'" in message


@pytest.mark.parametrize("status", ["404 Not Found", "500 Oops", "204 No Content", "206 Partial Content", "304 Same"])
def test_any_status_but_200_is_refused(status: str, fetcher: Callable[..., ImageFetcher], server: Server) -> None:
    server.answer = send(reply(PNG, status))

    assert f"status {status[:3]}" in refusal(fetcher(), "http://public.example/")


def test_a_redirect_without_a_target_is_refused(fetcher: Callable[..., ImageFetcher], server: Server) -> None:
    server.answer = send(reply(status="302 Found"))

    assert "status 302" in refusal(fetcher(), "http://public.example/")


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "deflate", "br", "zstd", "identity, gzip"])
def test_compressed_bodies_are_refused(encoding: str, fetcher: Callable[..., ImageFetcher], server: Server) -> None:
    server.answer = send(reply(gzip.compress(PNG), Content_Encoding=encoding))

    assert "compressed" in refusal(fetcher(), "http://public.example/")


def test_identity_is_no_compression(fetcher: Callable[..., ImageFetcher], server: Server) -> None:
    server.answer = send(reply(PNG, Content_Encoding="Identity"))

    fetcher().fetch("http://public.example/")


# --- Size ------------------------------------------------------------------------------------------------------------


def chunked(body: bytes, size: int) -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    framed = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return reply(framed + b"0\r\n\r\n", length=False, Transfer_Encoding="chunked")


def test_too_large_by_content_length_is_refused_before_the_body(
    fetcher: Callable[..., ImageFetcher], server: Server
) -> None:
    def head_only(conn: socket.socket, head: bytes) -> None:
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100001\r\n\r\n")
        assert conn.recv(1) == b""  # until the other side hangs up; a fetcher that waits for a body hangs here

    server.answer = head_only

    assert "larger than 100000 bytes" in refusal(fetcher(), "http://public.example/")


@pytest.mark.parametrize("frame", [lambda body: reply(body, length=False), lambda body: chunked(body, 5000)])
def test_too_large_without_content_length_is_refused_while_reading(
    frame: Callable[[bytes], bytes], fetcher: Callable[..., ImageFetcher], server: Server
) -> None:
    server.answer = send(frame(PNG + b"\0" * 200_000))

    assert "larger than 100000 bytes" in refusal(fetcher(), "http://public.example/")


def test_a_false_content_length_does_not_help(fetcher: Callable[..., ImageFetcher], server: Server) -> None:
    body = PNG + b"\0" * 200_000
    server.answer = send(reply(body, length=False, Content_Length="300"))

    assert fetcher().fetch("http://public.example/") == data_url(body[:300], "image/png")


@pytest.mark.parametrize("frame", [reply, lambda body: reply(body, length=False), lambda body: chunked(body, 999)])
def test_exactly_the_largest_size_is_taken(
    frame: Callable[[bytes], bytes], fetcher: Callable[..., ImageFetcher], server: Server
) -> None:
    body = PNG.ljust(100_000, b"\0")
    server.answer = send(frame(body))

    assert fetcher().fetch("http://public.example/") == data_url(body, "image/png")


@pytest.mark.parametrize(
    "broken",
    [
        reply(PNG, length=False, Content_Length="1000"),
        chunked(PNG, 100)[:-20],
        reply(b"zz\r\n", length=False, Transfer_Encoding="chunked"),
        b"",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    ],
)
def test_torn_or_senseless_answers_are_refused(
    broken: bytes, fetcher: Callable[..., ImageFetcher], server: Server
) -> None:
    server.answer = send(broken)

    message = refusal(fetcher(), "http://public.example/")

    assert "the connection broke" in message
    assert PUBLIC not in message


# --- Time ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "interim", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"]
)
def test_interim_answers_are_read_over_and_not_for_ever(
    server: Server, fetcher: Callable[..., ImageFetcher], interim: bytes
) -> None:
    server.answer = send(interim * 3 + reply(PNG))
    assert fetcher().fetch("http://public.example/").startswith("data:image/png;")

    def flood(conn: socket.socket, head: bytes) -> None:
        while True:
            conn.sendall(interim * 1000)

    server.answer = flood
    refusal(fetcher(), "http://public.example/")


def test_a_body_that_never_ends_is_given_up_at_the_deadline(
    fetcher: Callable[..., ImageFetcher], server: Server
) -> None:
    def endless(conn: socket.socket, head: bytes) -> None:
        conn.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + PNG)
        while True:
            conn.sendall(b"\0" * 1000)

    server.answer = endless
    clock = TickingClock(step=1.0)

    message = refusal(fetcher(timeout_s=10.0, clock=clock, max_bytes=2**30), "http://public.example/")

    assert "in time" in message
    assert clock.now <= 13.0


def test_redirects_share_the_deadline(fetcher: Callable[..., ImageFetcher], net: Net, server: Server) -> None:
    server.answer = send(redirect("/again"))

    assert "in time" in refusal(fetcher(timeout_s=10.0, clock=TickingClock(step=2.0)), "http://public.example/")
    assert len(net.dialled) < 3


def test_the_lookup_counts_but_is_not_even_begun_too_late(
    fetcher: Callable[..., ImageFetcher], names: Names, net: Net
) -> None:
    assert "in time" in refusal(fetcher(timeout_s=1.0, clock=TickingClock(step=1.0)), "http://public.example/")
    assert (names.asked, net.dialled) == ([], [])


@pytest.mark.parametrize("beginning", [b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\n\r\n" + PNG])
def test_a_server_that_drips_is_cut_off_in_headers_and_in_the_body(
    beginning: bytes, fetcher: Callable[..., ImageFetcher], server: Server
) -> None:
    hung_up = threading.Event()

    def drip(conn: socket.socket, head: bytes) -> None:
        conn.sendall(beginning)
        with contextlib.suppress(OSError):
            while not hung_up.wait(0.005):  # far below the timeout, so no single wait ever runs into it
                conn.sendall(b"a")
        hung_up.set()

    server.answer = drip

    assert "in time" in refusal(fetcher(timeout_s=0.2), "http://public.example/")
    assert hung_up.wait(60)


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\n\r\n" + PNG])
def test_a_server_that_falls_silent_is_given_up(
    beginning: bytes, fetcher: Callable[..., ImageFetcher], server: Server
) -> None:
    """Without a Content-Length, an image that was cut off looks complete; it must not be taken for one."""

    def silent(conn: socket.socket, head: bytes) -> None:
        conn.sendall(beginning)
        assert conn.recv(1) == b""

    server.answer = silent

    assert "in time" in refusal(fetcher(timeout_s=0.05), "http://public.example/")


def test_a_connection_that_takes_too_long_is_told_so(fetcher: Callable[..., ImageFetcher], net: Net) -> None:
    net.dead[PUBLIC] = TimeoutError("timed out")

    assert "in time" in refusal(fetcher(), "http://public.example/")


GEVENT_DRIP = """
from gevent import monkey; monkey.patch_all()
import socket, threading
from app.errors import InvalidRequestError
from app.upstream.images.fetch import ImageFetcher

listener = socket.create_server(("127.0.0.1", 0))
hung_up = threading.Event()

def drip():
    conn, _ = listener.accept()
    conn.sendall(bytes.fromhex("1603034000"))  # a TLS record of 16 KiB begins …
    try:
        while not hung_up.wait(0.005):
            conn.sendall(b"a")  # … and never ends
    except OSError:
        hung_up.set()
    conn.close()

thread = threading.Thread(target=drip)
thread.start()
fetcher = ImageFetcher(max_bytes=9, timeout_s=0.2, is_allowed=lambda address: True)
try:
    fetcher.fetch(f"https://127.0.0.1:{listener.getsockname()[1]}/")
except InvalidRequestError as exc:
    print(exc.message)
print(hung_up.wait(60))
thread.join()
listener.close()
"""


def test_a_dripping_tls_handshake_is_cut_off_under_gevent() -> None:
    """gevent gives every wait within a handshake the whole timeout, so only the guard ends this one."""
    done = subprocess.run(
        [sys.executable, "-c", GEVENT_DRIP],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "PYTHONPATH": str(REPO)},
    )

    assert "in time" in done.stdout
    assert done.stdout.endswith("True\n")


# --- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


def test_tls_asks_for_and_verifies_the_name_while_connected_to_the_address(
    authority: Authority, fetcher: Callable[..., ImageFetcher], net: Net, names: Names, server: Server
) -> None:
    seen: list[str | None] = []
    server.tls = authority.server_context("public.example", seen)

    result = fetcher().fetch("https://public.example/cat.png")

    assert result == data_url(PNG, "image/png")
    assert seen == ["public.example"]
    assert net.dialled == [(PUBLIC, 443)]
    assert names.asked == ["public.example"]
    assert server.headers()["Host"] == "public.example"


def test_tls_to_an_address_verifies_the_address(
    authority: Authority, fetcher: Callable[..., ImageFetcher], server: Server
) -> None:
    seen: list[str | None] = []
    server.tls = authority.server_context(PUBLIC, seen)

    fetcher().fetch(f"https://{PUBLIC}/")
    assert seen == [None]

    assert "no secure connection" in refusal(fetcher(), f"https://{OTHER_PUBLIC}/")


@pytest.mark.parametrize("certified", ["other.example", PUBLIC])
def test_a_certificate_for_another_host_is_refused(
    certified: str, authority: Authority, fetcher: Callable[..., ImageFetcher], server: Server
) -> None:
    server.tls = authority.server_context(certified, [])

    message = refusal(fetcher(), "https://public.example/?token=abc")

    assert "no secure connection" in message
    assert "'public.example'" in message
    assert PUBLIC not in message
    assert server.heads == []


def test_an_unknown_authority_is_refused_by_default(
    authority: Authority, fetcher: Callable[..., ImageFetcher], server: Server
) -> None:
    server.tls = authority.server_context("public.example", [])

    assert "no secure connection" in refusal(fetcher(verify=True), "https://public.example/")
    assert server.heads == []


def test_a_server_without_tls_is_refused(fetcher: Callable[..., ImageFetcher], server: Server) -> None:
    server.greeting = reply(PNG)

    assert "no secure connection" in refusal(fetcher(), "https://public.example/")


def test_verification_can_be_switched_off(
    authority: Authority, fetcher: Callable[..., ImageFetcher], server: Server
) -> None:
    server.tls = authority.server_context("other.example", [])

    with pytest.warns(urllib3.exceptions.InsecureRequestWarning):
        assert fetcher(verify=False).fetch("https://public.example/") == data_url(PNG, "image/png")


def test_a_folder_of_certificates_can_be_given(
    authority: Authority, fetcher: Callable[..., ImageFetcher], server: Server, tmp_path: Path
) -> None:
    digest = ["openssl", "x509", "-subject_hash", "-noout", "-in", authority.bundle]
    name = subprocess.run(digest, check=True, capture_output=True, text=True).stdout.strip()
    (tmp_path / f"{name}.0").write_text(Path(authority.bundle).read_text())
    server.tls = authority.server_context("public.example", [])

    fetcher(verify=str(tmp_path)).fetch("https://public.example/")


def test_a_missing_bundle_is_noticed_at_the_start(fetcher: Callable[..., ImageFetcher], tmp_path: Path) -> None:
    with pytest.raises(OSError):
        fetcher(verify=str(tmp_path / "missing.pem"))


def test_https_never_redirects_to_http(
    authority: Authority, fetcher: Callable[..., ImageFetcher], net: Net, server: Server
) -> None:
    server.tls = authority.server_context("public.example", [])
    server.answer = send(redirect("http://public.example/"), reply(PNG))

    message = refusal(fetcher(), "https://public.example/")

    assert "from https to http" in message
    assert net.dialled == [(PUBLIC, 443)]


def test_https_redirects_to_https(
    authority: Authority, fetcher: Callable[..., ImageFetcher], net: Net, server: Server
) -> None:
    seen: list[str | None] = []
    server.tls = authority.server_context("public.example", seen)
    server.answer = send(redirect("https://public.example:8443/"), reply(PNG))

    fetcher().fetch("https://public.example/")

    assert net.dialled == [(PUBLIC, 443), (PUBLIC, 8443)]
    assert seen == ["public.example", "public.example"]


# --- Proxies ---------------------------------------------------------------------------------------------------------


def proxied(scheme: str, proxy: str = "http://us%40er:pa%3Ass@proxy.internal:3128") -> Callable[[str], dict[str, str]]:
    def proxies_for(url: str) -> dict[str, str]:
        return {scheme: proxy, "no": "localhost"}

    return proxies_for


PROXY_LOGIN = "Basic " + base64.b64encode(b"us@er:pa:ss").decode()


def connect_proxy(server: Server, tls: ssl.SSLContext) -> Answer:
    """A proxy that is the target, too: takes CONNECT, then speaks TLS and answers."""

    def answer(conn: socket.socket, head: bytes) -> None:
        conn.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with tls.wrap_socket(conn, server_side=True) as inner:
            server.read_head(inner)
            inner.sendall(reply(PNG))

    return answer


@pytest.mark.parametrize(
    ("addresses", "connect"),
    [
        ([PUBLIC], f"CONNECT {PUBLIC}:443 "),
        ([PUBLIC_V6], f"CONNECT [{PUBLIC_V6}]:443 "),
        ([PUBLIC_V6, PUBLIC], f"CONNECT {PUBLIC}:443 "),
    ],
)
def test_https_through_a_proxy_is_a_tunnel_to_the_judged_address(
    addresses: list[str],
    connect: str,
    authority: Authority,
    fetcher: Callable[..., ImageFetcher],
    net: Net,
    names: Names,
    server: Server,
) -> None:
    names.answers["public.example"] = [addresses, ["127.0.0.1"]]
    seen: list[str | None] = []
    server.answer = connect_proxy(server, authority.server_context("public.example", seen))

    result = fetcher(proxies_for=proxied("https")).fetch("https://public.example/cat.png")

    assert result == data_url(PNG, "image/png")
    assert net.dialled == [("proxy.internal", 3128)]
    assert server.heads[0].startswith(connect)
    assert server.headers(0)["proxy-authorization"] == PROXY_LOGIN
    assert seen == ["public.example"]
    assert server.headers(1)["Host"] == "public.example"
    assert "proxy-authorization" not in server.headers(1)


def test_the_certificate_is_verified_through_a_proxy_too(
    authority: Authority, fetcher: Callable[..., ImageFetcher], server: Server
) -> None:
    server.answer = connect_proxy(server, authority.server_context("other.example", []))

    through = fetcher(proxies_for=proxied("https"))

    assert "no secure connection" in refusal(through, "https://public.example/")
    assert len(server.heads) == 1


@pytest.mark.parametrize(
    ("address", "line"),
    [(PUBLIC, f"GET http://{PUBLIC}:80/a?b HTTP/1.1"), (PUBLIC_V6, f"GET http://[{PUBLIC_V6}]:80/a?b HTTP/1.1")],
)
def test_http_through_a_proxy_names_the_judged_address(
    address: str, line: str, fetcher: Callable[..., ImageFetcher], net: Net, names: Names, server: Server
) -> None:
    names.answers["public.example"] = [[address], ["127.0.0.1"]]

    result = fetcher(proxies_for=proxied("http")).fetch("http://public.example/a?b")

    assert result == data_url(PNG, "image/png")
    assert net.dialled == [("proxy.internal", 3128)]
    assert server.heads[0].split("\r\n")[0] == line
    assert server.headers()["Host"] == "public.example"
    assert server.headers()["proxy-authorization"] == PROXY_LOGIN


def test_a_proxy_may_be_spoken_to_over_tls(
    authority: Authority, fetcher: Callable[..., ImageFetcher], net: Net, server: Server
) -> None:
    seen: list[str | None] = []
    server.tls = authority.server_context("proxy.internal", seen)

    fetcher(proxies_for=proxied("http", "https://proxy.internal")).fetch("http://public.example/")

    assert net.dialled == [("proxy.internal", 443)]
    assert seen == ["proxy.internal"]
    assert server.heads[0].startswith(f"GET http://{PUBLIC}:80/ HTTP/1.1")


def test_a_proxy_is_only_used_for_its_scheme(fetcher: Callable[..., ImageFetcher], net: Net) -> None:
    fetcher(proxies_for=proxied("https")).fetch("http://public.example/")

    assert net.dialled == [(PUBLIC, 80)]


def test_a_proxy_may_be_given_without_scheme(fetcher: Callable[..., ImageFetcher], net: Net) -> None:
    fetcher(proxies_for=proxied("all", "proxy.internal:3128")).fetch("http://public.example/")

    assert net.dialled == [("proxy.internal", 3128)]


@pytest.mark.parametrize("url", ["http://169.254.169.254/", "https://loop.example/", "http://unknown.example/"])
def test_a_proxy_does_not_weaken_the_rules(
    url: str, fetcher: Callable[..., ImageFetcher], net: Net, server: Server
) -> None:
    assert NOT_REACHABLE in refusal(fetcher(proxies_for=proxied("all")), url)
    assert (net.dialled, server.accepted) == ([], 0)


def test_a_proxy_that_refuses_is_told_so(fetcher: Callable[..., ImageFetcher], server: Server) -> None:
    server.answer = send(reply(status="407 Proxy Authentication Required"))

    message = refusal(fetcher(proxies_for=proxied("https")), "https://public.example/")

    assert "outbound proxy" in message
    assert not re.search("proxy\\.internal|us%40er|us@er|pass", message)


@pytest.mark.parametrize("proxy", ["socks5://user:hunter2@proxy.internal:1080", "http://user:hunter2@[proxy"])
def test_a_proxy_that_cannot_be_used_is_told_so(
    proxy: str, fetcher: Callable[..., ImageFetcher], net: Net, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="app.upstream.images")

    message = refusal(fetcher(proxies_for=proxied("all", proxy)), "http://public.example/")

    assert "outbound proxy" in message
    assert net.dialled == []
    assert "hunter2" not in message + caplog.text


# --- Several ---------------------------------------------------------------------------------------------------------


def test_fetch_all_fetches_each_url_once(fetcher: Callable[..., ImageFetcher], server: Server) -> None:
    server.answer = send(reply(PNG), reply(GIF))
    first, second = "http://public.example/1", "http://public.example/2"

    result = fetcher().fetch_all([first, second, first, first])

    assert result == {first: data_url(PNG, "image/png"), second: data_url(GIF, "image/gif")}
    assert list(result) == [first, second]
    assert server.accepted == 2


def test_fetch_all_of_nothing_is_nothing(fetcher: Callable[..., ImageFetcher]) -> None:
    assert fetcher().fetch_all([]) == {}


def test_fetch_all_takes_so_many_and_no_more(fetcher: Callable[..., ImageFetcher], net: Net, names: Names) -> None:
    urls = [f"http://public.example/{number}" for number in range(MAX_IMAGES)]
    assert len(fetcher().fetch_all([*urls, *urls])) == MAX_IMAGES
    names.asked.clear()
    net.dialled.clear()

    with pytest.raises(InvalidRequestError) as caught:
        fetcher().fetch_all([*urls, "http://public.example/more"])

    assert f"at most {MAX_IMAGES}" in caught.value.message
    assert (names.asked, net.dialled) == ([], [])


def test_fetch_all_shares_one_deadline(fetcher: Callable[..., ImageFetcher], net: Net) -> None:
    urls = [f"http://public.example/{number}" for number in range(MAX_IMAGES)]

    with pytest.raises(InvalidRequestError, match="in time"):
        fetcher(timeout_s=20.0, clock=TickingClock(step=1.0)).fetch_all(urls)

    assert 1 <= len(net.dialled) < 6


def test_fetch_all_fails_as_a_whole(fetcher: Callable[..., ImageFetcher], server: Server) -> None:
    with pytest.raises(InvalidRequestError, match=r"loop\.example"):
        fetcher().fetch_all(["http://public.example/", "http://loop.example/", "http://other.example/"])

    assert server.accepted == 1


def test_failures_are_logged_without_the_url(
    fetcher: Callable[..., ImageFetcher], server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="app.upstream.images")
    server.answer = send(b"")

    refusal(fetcher(), "http://public.example/private?token=abc")
    refusal(fetcher(), "http://mixed.example/private?token=abc")

    assert "public.example failed: ProtocolError" in caplog.text
    assert "10.0.0.7" in caplog.text, "the operator may know"
    assert not re.search("token|private", caplog.text)


def test_images_of_a_request_have_a_limit_together(
    fetcher: Callable[..., ImageFetcher], net: Net, server: Server
) -> None:
    urls = [f"http://public.example/{number}" for number in range(MAX_IMAGES)]
    assert len(fetcher(max_total_bytes=MAX_IMAGES * len(PNG)).fetch_all(urls)) == MAX_IMAGES
    net.dialled.clear()

    with pytest.raises(InvalidRequestError, match="together"):
        fetcher(max_total_bytes=5 * len(PNG)).fetch_all(urls)

    assert len(net.dialled) == 6  # the others are not even asked for


def test_images_count_for_what_the_worker_holds(fetcher: Callable[..., ImageFetcher], server: Server) -> None:
    server.answer = send(reply(PNG + b"\0" * (2 * FREE_BYTES)))
    share = Share(Budget(FREE_BYTES // 2))
    share.enter()
    try:
        with pytest.raises(OverloadedError):
            fetcher(max_bytes=10 * FREE_BYTES).fetch("http://public.example/")
    finally:
        Share._here.current = None
