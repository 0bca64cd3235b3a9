"""Making connections: addresses, TLS, one deadline over all of it, and nothing left behind when it is given up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from client.bare import FarSide
from tailrace.client.connection import Connection, Origin
from tailrace.client.dialer import Dialer
from tailrace.errors import UpstreamUnreachable

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

AddressInfo = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int]]


def dialer(connect_s: float = 10) -> Dialer:
    return Dialer(connect_s, idle=lambda connection: None, lost=lambda connection: None)


def http(port: int, host: str = "127.0.0.1") -> Origin:
    return Origin("http", host, port)


def address(host: str, port: int) -> AddressInfo:
    return socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)


async def answered(connection: Connection) -> bytes:
    """Sends a request and gives the body of its answer."""
    response = connection.send("GET", b"GET / HTTP/1.1\r\n\r\n", b"")
    await response.head()
    return await response.read()


def sockets_to(port: int) -> int:
    """How many sockets this process has that are connected to a port of this machine, or on the way to it."""
    own = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # closed meanwhile
            own.add(os.readlink(f"/proc/self/fd/{name}"))
    table = [line.split() for line in Path("/proc/self/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    return sum(row[2].endswith(f":{port:04X}") and f"socket:[{row[9]}]" in own for row in table)


class Names:
    """A resolver that says what a test tells it. Of addresses it has the loop's own: uvloop asks for those, too."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *addresses: AddressInfo) -> None:
        loop = asyncio.get_running_loop()
        self.addresses = list(addresses)
        self.asked: list[str] = []
        self._real = loop.getaddrinfo
        monkeypatch.setattr(loop, "getaddrinfo", self._getaddrinfo)

    async def _getaddrinfo(self, host: str, port: int, **more: int) -> object:
        if host == "127.0.0.1":
            return await self._real(host, port, **more)
        self.asked.append(host)
        return self.addresses


async def test_a_connection_is_made_and_sends_small_packets_at_once(far_side: FarSide) -> None:
    connection = await dialer().dial(http(far_side.port))
    other = await far_side.accepts()
    other.sendall(OK)

    assert connection._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    assert await answered(connection) == b"ok"
    connection.abort()


async def test_an_ipv6_address_is_dialled() -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with listener:
        connection = await dialer().dial(http(listener.getsockname()[1], "::1"))
        connection.abort()


async def test_the_next_address_is_tried_when_one_refuses(far_side: FarSide, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        closed = unused.getsockname()[1]
    Names(monkeypatch, address("127.0.0.1", closed), address("127.0.0.1", far_side.port))

    connection = await dialer().dial(http(80, "two.example"))

    await far_side.accepts()
    connection.abort()


async def test_the_next_address_is_tried_when_one_is_silent(
    far_side: FarSide, deaf_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    Names(monkeypatch, address("127.0.0.1", deaf_port), address("127.0.0.1", far_side.port))
    before = sockets_to(deaf_port)

    connection = await dialer().dial(http(80, "two.example"))

    other = await far_side.accepts()
    assert sockets_to(deaf_port) == before
    connection.abort()
    assert await far_side.sees_the_end(other) == "closed"


async def test_a_name_is_looked_up_once_in_a_while(far_side: FarSide, monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(monkeypatch, address("127.0.0.1", far_side.port))
    dialling = dialer()
    for host in ("a.example", "a.example", "b.example"):
        (await dialling.dial(http(80, host))).abort()
    monkeypatch.setattr("tailrace.client.dialer.NAME_S", 0.0)
    for _ in range(2):
        (await dialling.dial(http(80, "c.example"))).abort()

    assert names.asked == ["a.example", "b.example", "c.example", "c.example"]


async def test_a_name_without_addresses_leads_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    Names(monkeypatch)

    with pytest.raises(UpstreamUnreachable, match=r"^no connection to a\.example:80: the name has no address$"):
        await dialer().dial(http(80, "a.example"))


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 64 + ".invalid", "a..b"])
async def test_a_name_that_does_not_exist_leads_nowhere(host: str) -> None:
    with pytest.raises(UpstreamUnreachable, match=f"no connection to {host}:80: ."):
        await dialer().dial(http(80, host))


async def test_a_name_server_that_is_silent_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(host: str, port: int, **more: int) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", never)

    with pytest.raises(TimeoutError, match=r"^no connection to a\.example:80 in 0\.05 s$"):
        await dialer(0.05).dial(http(80, "a.example"))


async def test_a_handshake_that_is_not_answered_is_a_timeout(far_side: FarSide) -> None:
    with pytest.raises(TimeoutError, match=rf"^no connection to 127\.0\.0\.1:{far_side.port} in 0\.2 s$"):
        await dialer(0.2).dial(Origin("https", "127.0.0.1", far_side.port))

    assert await far_side.sees_the_end(await far_side.accepts()) == "closed"


async def test_giving_up_while_connecting_leaves_no_socket(deaf_port: int) -> None:
    before = sockets_to(deaf_port)
    async with asyncio.TaskGroup() as group:
        dialling = group.create_task(dialer().dial(http(deaf_port)))
        while sockets_to(deaf_port) == before:
            await asyncio.sleep(0.001)

        dialling.cancel()

    assert sockets_to(deaf_port) == before


async def test_giving_up_in_a_handshake_leaves_no_socket(far_side: FarSide) -> None:
    async with asyncio.TaskGroup() as group:
        dialling = group.create_task(dialer().dial(Origin("https", "127.0.0.1", far_side.port)))
        other = await far_side.accepts()
        assert await asyncio.to_thread(other.recv, 1) == b"\x16"  # a handshake record

        dialling.cancel()

    assert await far_side.sees_the_end(other) == "closed"


# TLS


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that signs itself, with its key in the same file."""
    if shutil.which("openssl") is None:
        pytest.skip("the program openssl is not installed")
    file = tmp_path_factory.mktemp("tls") / "self-signed.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=far side", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", file, "-out", f"{file}.crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    file.write_bytes(file.read_bytes() + Path(f"{file}.crt").read_bytes())
    return file


async def serve_tls(
    certificate: Path, serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]
) -> asyncio.Server:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)


async def test_a_certificate_that_nobody_trusts_is_refused(certificate: Path) -> None:
    async with await serve_tls(certificate, lambda reader, writer: writer.close()) as server:
        port = server.sockets[0].getsockname()[1]

        with pytest.raises(UpstreamUnreachable) as error:
            await dialer().dial(Origin("https", "127.0.0.1", port))

        assert (
            str(error.value)
            == f"no connection to 127.0.0.1:{port}: its certificate is not accepted: self-signed certificate"
        )
        while sockets_to(port):
            await asyncio.sleep(0.001)


async def test_a_certificate_for_another_name_is_refused(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with await serve_tls(certificate, lambda reader, writer: writer.close()) as server:
        port = server.sockets[0].getsockname()[1]

        with pytest.raises(UpstreamUnreachable, match="its certificate is not accepted: Hostname mismatch"):
            await dialer().dial(Origin("https", "localhost", port))


async def test_a_certificate_that_is_trusted_is_accepted_and_the_protocol_agreed(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    agreed: list[str | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        agreed.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        for _ in range(2):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)
        await reader.read()
        writer.close()

    async with await serve_tls(certificate, serve) as server:
        dialling = dialer()
        connection = await dialling.dial(Origin("https", "127.0.0.1", server.sockets[0].getsockname()[1]))

        for _ in range(2):
            response = connection.send("GET", b"GET / HTTP/1.1\r\n\r\n", b"")
            await response.head()
            assert await response.read() == b"ok"
            response.close()
        assert agreed == ["http/1.1"]
        connection.abort()
        while not connection.is_gone:
            await asyncio.sleep(0)


async def test_giving_up_an_upload_over_tls_closes_the_socket(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        started.set()
        await give_up.wait()
        try:
            while await reader.read(1 << 20):
                pass
        except OSError:
            pass
        writer.close()
        ended.set()

    started, give_up = asyncio.Event(), asyncio.Event()
    async with await serve_tls(certificate, serve) as server:
        connection = await dialer().dial(Origin("https", "127.0.0.1", server.sockets[0].getsockname()[1]))
        response = connection.send("POST", b"POST / HTTP/1.1\r\n\r\n", bytes(30_000_000))
        await started.wait()

        response.close()
        give_up.set()

        await ended.wait()
        assert connection.is_gone
