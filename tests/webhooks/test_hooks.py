import pytest

from limner.config import Settings, load_settings
from limner.errors import InvalidRequest, LimnerError, MissingParameter, UnknownParameter
from limner.media.addresses import parse_networks
from limner.store.rows import Hook
from limner.webhooks import check_url, parse_hook, secret_text

SECRET = secret_text(bytes(32))


@pytest.fixture
def settings() -> Settings:
    return load_settings()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://example.org/done", Hook("https://example.org/done")),
        ("http://example.org", Hook("http://example.org")),
        ({"url": "https://example.org:443/x?y=z"}, Hook("https://example.org:443/x?y=z")),
        ({"url": "https://example.org", "secret": SECRET}, Hook("https://example.org", SECRET)),
        ({"url": "https://example.org", "secret": None}, Hook("https://example.org")),
        ("https://8.8.8.8/x", Hook("https://8.8.8.8/x")),
        ("https://[2606:4700::1111]/x", Hook("https://[2606:4700::1111]/x")),
    ],
)
def test_a_hook_is_a_url_or_an_object(settings: Settings, value: object, expected: Hook) -> None:
    assert parse_hook(value, settings) == expected


@pytest.mark.parametrize(
    ("value", "kind", "param"),
    [
        (7, InvalidRequest, "webhook"),
        (["https://example.org"], InvalidRequest, "webhook"),
        ({"url": "https://example.org", "events": []}, UnknownParameter, "webhook"),
        ({"secret": SECRET}, MissingParameter, "webhook.url"),
        ({"url": 7}, InvalidRequest, "webhook.url"),
        ({"url": "https://example.org", "secret": "hunter2"}, InvalidRequest, "webhook.secret"),
        ({"url": "https://example.org", "secret": 7}, InvalidRequest, "webhook.secret"),
    ],
)
def test_anything_else_is_refused_by_name(
    settings: Settings, value: object, kind: type[LimnerError], param: str
) -> None:
    with pytest.raises(LimnerError) as caught:
        parse_hook(value, settings)
    assert type(caught.value) is kind
    assert caught.value.param == param
    assert "hunter2" not in caught.value.message


BAD_URLS = [
    "",
    "example.org",
    "//example.org",
    "ftp://example.org",
    "file:///etc/passwd",
    "https://",
    "https://user:pw@example.org",
    "https://example.org:22/",
    "https://example.org:99999/",
    "https://exa mple.org/",
    "https://example.org/\r\nX: y",
    "https://example.org/" + "a" * 2048,
    "https://[::1",
    "https://localhost/",
    "https://LOCALHOST./",
    "https://app.localhost/",
    "https://intranet/",
    "https://127.0.0.1/",
    "https://127.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0177.0.0.1/",
    "https://\uff11\uff12\uff17.0.0.1/",
    "https://169.254.169.254/",
    "https://10.0.0.1/",
    "https://100.64.0.1/",
    "https://0.0.0.0/",
    "https://[::]/",
    "https://[::1]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[64:ff9b::a00:1]/",
    "https://[fd00::1]/",
    "https://[fe80::1%25lo]/",
]


@pytest.mark.parametrize("url", BAD_URLS, ids=lambda url: url.encode("unicode_escape").decode()[:40])
def test_a_url_that_could_never_be_called_is_refused_before_the_job(url: str) -> None:
    with pytest.raises(InvalidRequest, match=r"webhook\.url") as caught:
        check_url(url)
    assert caught.value.param == "webhook.url"
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("url", ["http://10.1.2.3:9000/x", "http://127.1:8080", "http://queue:5000/", "http://a.b:81/"])
def test_allow_listed_networks_may_be_called_on_any_port(url: str) -> None:
    check_url(url, parse_networks(["10.0.0.0/8", "127.0.0.0/8"]))


def test_an_allow_list_opens_nothing_else() -> None:
    with pytest.raises(InvalidRequest):
        check_url("http://192.168.0.1/", parse_networks(["10.0.0.0/8"]))
    with pytest.raises(InvalidRequest):
        check_url("http://8.8.8.8:9000/", parse_networks(["10.0.0.0/8"]))


def test_switched_off_every_hook_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="no webhooks"):
        parse_hook("https://example.org", load_settings(None, {"webhooks": False}))
