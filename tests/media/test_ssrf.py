"""URLs that try to make the server reach where it must not, or to hold it up: one refusal for all of them.

PORT stands for the port of a server that listens on an allowed and on a forbidden loopback address.
"""

import asyncio
import ssl
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from limner.errors import InvalidRequest
from limner.media.fetch import Fetcher
from tests.media.origin import ALLOWED, FORBIDDEN, TIMEOUT_S, Origin, fetcher_for, serving


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    async with serving() as origin:
        yield origin


# No socket may be opened for any of these.
UNCONNECTED = {
    "a name that resolves inward": "http://bad.test:PORT/ok",
    "one public and one private answer": "http://mixed.test:PORT/ok",
    "the metadata address among answers": "http://mixed-metadata.test:PORT/ok",
    "loopback v6 among answers": "http://mixed-v6.test:PORT/ok",
    "a name that resolves to nothing": "http://nowhere.test:PORT/ok",
    "a name of no such host": "http://no-such-host.invalid:PORT/ok",
    "loopback": "http://127.0.0.1:PORT/ok",
    "loopback with a trailing dot": "http://127.0.0.1.:PORT/ok",
    "loopback decimal": "http://2130706433:PORT/ok",
    "loopback hexadecimal": "http://0x7f000001:PORT/ok",
    "loopback hexadecimal in parts": "http://0x7f.0.0.0x1:PORT/ok",
    "loopback hexadecimal short": "http://0x7f.1:PORT/ok",
    "loopback octal": "http://0177.0.0.1:PORT/ok",
    "loopback octal whole": "http://017700000001:PORT/ok",
    "loopback octal with zeros": "http://0000000177.0.0.1:PORT/ok",
    "loopback of two parts": "http://127.1:PORT/ok",
    "loopback of three parts": "http://127.0.1:PORT/ok",
    "loopback by an overflow": "http://127.0.0.257:PORT/ok",
    "loopback modulo 2^32": "http://6425673729:PORT/ok",
    "loopback fullwidth digits": "http://\uff11\uff12\uff17.0.0.1:PORT/ok",
    "loopback circled digits": "http://\u2460\u2461\u2466.0.0.1:PORT/ok",
    "loopback ideographic dots": "http://127\u30020\u30020\u30021:PORT/ok",
    "zero": "http://0:PORT/ok",
    "unspecified": "http://0.0.0.0:PORT/ok",
    "unspecified v6": "http://[::]:PORT/ok",
    "loopback v6": "http://[::1]:PORT/ok",
    "loopback v6 written out": "http://[0:0:0:0:0:0:0:1]:PORT/ok",
    "loopback v6 with a zone": "http://[::1%lo]:PORT/ok",
    "v4 mapped": "http://[::ffff:127.0.0.1]:PORT/ok",
    "v4 mapped in hexadecimal": "http://[::ffff:7f00:1]:PORT/ok",
    "v4 compatible": "http://[::127.0.0.1]:PORT/ok",
    "v4 translated": "http://[::ffff:0:127.0.0.1]:PORT/ok",
    "NAT64": "http://[64:ff9b::7f00:1]:PORT/ok",
    "NAT64 of the metadata address": "http://[64:ff9b::a9fe:a9fe]/",
    "NAT64 of local use": "http://[64:ff9b:1::7f00:1]:PORT/ok",
    "6to4": "http://[2002:7f00:1::]:PORT/ok",
    "Teredo": "http://[2001:0:4136:e378:8000:63bf:80ff:fffe]:PORT/ok",
    "unique local": "http://[fd00::1]:PORT/ok",
    "site local": "http://[fec0::1]:PORT/ok",
    "link local with a zone": "http://[fe80::1%25lo]:PORT/ok",
    "multicast v6": "http://[ff02::1]:PORT/ok",
    "metadata": "http://169.254.169.254/latest/meta-data/",
    "metadata decimal": "http://2852039166/latest/meta-data/",
    "metadata v6": "http://[fd00:ec2::254]/latest/meta-data/",
    "metadata of Azure's host": "http://168.63.129.16/",
    "metadata in CGNAT": "http://100.100.100.200/latest/meta-data/",
    "CGNAT": "http://100.64.0.1/",
    "10/8": "http://10.0.0.1/",
    "172.16/12": "http://172.31.255.255/",
    "192.168/16": "http://192.168.0.1/",
    "benchmarking": "http://198.18.0.1/",
    "multicast": "http://224.0.0.1/",
    "reserved": "http://240.0.0.1/",
    "broadcast": "http://255.255.255.255/",
    "localhost": "http://localhost:PORT/ok",
    "LOCALHOST.": "http://LOCALHOST.:PORT/ok",
    "localhost in circles": "http://\u24dbocalhost:PORT/ok",
    "a name under localhost": "http://app.localhost:PORT/ok",
    "a backslash before user information": "http://good.test:PORT\\@127.0.0.1:PORT/ok",
    "a backslash after user information": "http://127.0.0.1:PORT\\@good.test:PORT/ok",
    "user information": "http://user:secret@good.test:PORT/ok",
    "empty user information": "http://@good.test:PORT/ok",
    "a good host as user information": "http://good.test:PORT@127.0.0.1:PORT/ok",
    "a bad host before a fragment": "http://127.0.0.1:PORT#@good.test:PORT/ok",
    "an encoded null in the host": "http://good.test%00.evil:PORT/ok",
    "an encoded slash in the host": "http://good.test%2f:PORT/ok",
    "a space in the host": "http://go od.test:PORT/ok",
    "an empty label": "http://good..test:PORT/ok",
    "a label of 64 characters": "http://" + "a" * 64 + ".test:PORT/ok",
    "a name that IDNA forbids": "http://good.test\u2048:PORT/ok",
    "punycode of nothing": "http://xn--\u00e4.test:PORT/ok",
    "a name in brackets": "http://[good.test]:PORT/ok",
    "an open bracket": "http://[::1/ok",
    "no host": "http://:PORT/ok",
    "no authority": "http:///ok",
    "a header in the path": "http://good.test:PORT/ok\r\nHost: evil",
    "a leading tab": "\thttp://good.test:PORT/ok",
    "a tab inside": "http://good\t.test:PORT/ok",
    "an overlong path": "http://good.test:PORT/" + "a" * 9000,
    "nothing at all": "",
    "port 0": "http://good.test:0/ok",
    "port 22": "http://good.test:22/",
    "port 6379": "http://good.test:6379/",
    "port 99999": "http://good.test:99999/ok",
    "port -1": "http://good.test:-1/ok",
    "port x": "http://good.test:x/ok",
    "file": "file:///etc/passwd",
    "ftp": "ftp://good.test/x",
    "gopher": "gopher://good.test:PORT/_x",
    "unix": "unix:/run/docker.sock",
    "http+unix": "http+unix://%2Frun%2Fdocker.sock/info",
    "no scheme": "//good.test:PORT/ok",
}

# The first connection is to the allowed address, and there is no second one.
MISLED = {
    **{f"a redirect inward by {status}": f"/forbidden-by-{status}" for status in (301, 302, 303, 307, 308)},
    "a redirect to the metadata address": "/to-metadata",
    "a redirect to another host without a scheme": "/to-other-host",
    "a redirect to a v4-mapped address": "/to-mapped",
    "a redirect to an octal address": "/to-octal",
    "a redirect inward over TLS": "/to-tls",
    "a redirect to a file": "/to-file",
    "a redirect to ftp": "/to-ftp",
    "a redirect to a data URL": "/to-data",
    "a redirect with user information": "/to-user",
    "a redirect to another port": "/to-port",
    "a redirect that is not ASCII": "/to-unicode",
    "a redirect to nowhere": "/bare-redirect",
    "a choice of redirects": "/300",
    "not modified": "/304",
    "no content": "/204",
    "another protocol": "/101",
    "partial content": "/206",
    "transformed content": "/203",
    "a login": "/401",
    "not found": "/404",
    "a server error": "/500",
    "a busy server": "/503",
    "a gzip body": "/gzip",
    "a deflate body": "/deflate",
    "a zstd body": "/zstd",
    "a brotli body among encodings": "/br",
    "a body encoded twice": "/encoded-twice",
    "a gzip transfer": "/transfer-gzip",
    "a negative length": "/negative",
    "a length of no number": "/no-number",
    "two lengths": "/two-lengths",
    "fewer bytes than declared": "/cut-short",
    "a chunk cut short": "/chunk-cut-short",
    "a chunk of 2^160 bytes": "/huge-chunk",
    "a negative chunk": "/no-chunk",
    "a mail server": "/not-http",
    "HTTP 0.9": "/http-0.9",
    "HTTP 2": "/http-2",
    "no answer": "/nothing",
    "an overlong header": "/long-header",
    "too many headers": "/many-headers",
    "too many trailers": "/long-trailers",
    "an overlong chunk extension": "/long-chunk-extension",
    "silence": "/silent",
    "a slow drip": "/drip",
    "a slow drip of headers": "/drip-of-headers",
    "a slow status line": "/drip-of-status",
    "a slow drip of chunks": "/drip-of-chunks",
    "continue for ever": "/continue-for-ever",
    "trailers for ever": "/trailers-for-ever",
}


async def assert_refused(origin: Origin, url: str) -> None:
    """The one message, in time and in little memory, and no request that meant another host."""
    began = time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(InvalidRequest) as caught:
            await fetcher_for(origin).fetch(url.replace("PORT", str(origin.port)), "image_url")
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert time.monotonic() - began < TIMEOUT_S + 1.5
    assert peak_bytes < 16 << 20
    assert caught.value.param == "image_url"
    assert caught.value.message == (
        f"Could not fetch the URL in image_url. It must be a public http or https address on port 80 or 443 or "
        f"{origin.port} that answers 200 with the picture itself, uncompressed and within 0.5 s and 3 redirects. "
        f"Or send the file or a data URL."
    )
    assert all("Host: good.test" in request or "Host: rebind.test" in request for request in origin.requests)


@pytest.mark.parametrize("name", UNCONNECTED)
async def test_some_urls_open_no_socket(origin: Origin, name: str) -> None:
    await assert_refused(origin, UNCONNECTED[name])
    assert origin.connections == 0


@pytest.mark.parametrize("name", MISLED)
async def test_some_answers_lead_no_further(origin: Origin, name: str) -> None:
    await assert_refused(origin, f"http://good.test:PORT{MISLED[name]}")
    assert origin.connections == 1


@pytest.mark.parametrize(
    ("url", "connections"),
    [
        ("http://rebind.test:PORT/to-rebind", 1),
        ("http://good.test:PORT/loop", 4),
        ("http://good.test:PORT/to-nothing", 4),
        ("http://good.test:PORT/hop0", 4),
        ("http://slow.test:PORT/ok", 0),
        ("https://good.test:PORT/ok", 1),
    ],
    ids=["rebinding between hops", "a loop", "a redirect to itself", "too many hops", "a slow resolver", "TLS to none"],
)
async def test_some_take_several_steps(origin: Origin, url: str, connections: int) -> None:
    await assert_refused(origin, url)
    assert origin.connections == connections


async def test_backslashes_in_a_redirect_are_only_a_path(origin: Origin) -> None:
    await fetcher_for(origin).fetch(f"http://good.test:{origin.port}/to-backslashes", "image")
    assert origin.lookups == ["good.test", "good.test"]


ANSWERS = """
0.0.0.0 10.1.2.3 100.64.0.1 127.0.0.1 169.254.169.254 172.16.0.1 192.168.1.1 198.18.0.1 224.0.0.1 255.255.255.255
::1 ::ffff:127.0.0.1 64:ff9b::7f00:1 2002:7f00:1:: 2001:0:1:: fd00::1 fe80::1%1 ff02::1 not-an-address
"""


@pytest.mark.parametrize("address", ANSWERS.split())
async def test_whatever_a_resolver_answers_is_judged(origin: Origin, address: str) -> None:
    async def lookup(host: str, port: int) -> Sequence[str]:
        return (ALLOWED, address)

    with pytest.raises(InvalidRequest):
        await fetcher_for(origin, resolver=lookup).fetch(f"http://any.test:{origin.port}/ok", "image")
    assert origin.connections == 0


async def test_names_that_take_long_hold_up_no_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def getaddrinfo(host: str, port: int, **options: object) -> list[object]:
        released.wait(20)
        raise OSError("no such host")

    monkeypatch.setattr("socket.getaddrinfo", getaddrinfo)
    fetcher = Fetcher(timeout_s=0.3)
    fetches = [asyncio.create_task(fetcher.fetch(f"http://{number}.test/", "image")) for number in range(60)]
    try:
        await asyncio.sleep(0.1)
        assert await asyncio.wait_for(asyncio.to_thread(lambda: "free"), 2) == "free"
        refused = await asyncio.gather(*fetches, return_exceptions=True)
        assert {type(one) for one in refused} == {InvalidRequest}
    finally:
        released.set()


async def test_proxy_variables_are_ignored(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://{FORBIDDEN}:9")
    monkeypatch.setenv("no_proxy", "")
    assert await fetcher_for(origin).fetch(f"http://good.test:{origin.port}/ok", "image") == b"picture"


async def test_sni_carries_the_name_after_a_redirect_from_http() -> None:
    hello = asyncio.get_running_loop().create_future()

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 302 Found\r\nLocation: https://pictures.test:{secure}/\r\n\r\n".encode())
        writer.close()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello.set_result(await reader.read(4096))
        writer.close()

    async def lookup(host: str, port: int) -> Sequence[str]:
        return (ALLOWED,)

    first = await asyncio.start_server(redirect, ALLOWED, 0)
    second = await asyncio.start_server(listen, ALLOWED, 0)
    async with first, second:
        plain, secure = (server.sockets[0].getsockname()[1] for server in (first, second))
        fetcher = Fetcher(allow=(ALLOWED,), ports=(plain, secure), timeout_s=2, resolver=lookup)
        with pytest.raises(InvalidRequest):
            await fetcher.fetch(f"http://first.test:{plain}/", "image")
    assert b"pictures.test" in hello.result()


async def test_a_certificate_nobody_vouches_for_gets_no_request(origin: Origin, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path, "good.test"))
    async with await asyncio.start_server(origin.serve, ALLOWED, 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(InvalidRequest):
            await fetcher_for(origin, ports=(port,)).fetch(f"https://good.test:{port}/ok", "image")
    assert origin.requests == []


def self_signed(directory: Path, name: str) -> Path:
    """A PEM file with a key and a certificate for ``name`` that it signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = directory / "certificate.pem"
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path
