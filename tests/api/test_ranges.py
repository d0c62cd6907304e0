import pytest
from starlette.datastructures import Headers

from limner.api.ranges import Unsatisfiable, is_known, requested_extent

TAG = '"abc"'


@pytest.mark.parametrize(
    ("asked", "extent"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=2-5", (2, 6)),
        ("bytes=9-", (9, 10)),
        ("bytes=0-99999999", (0, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-99", (0, 10)),
        (" Bytes = 1 - 2 ", (1, 3)),
        ("", None),
        ("bytes=", None),
        ("bytes=-", None),
        ("bytes=5-2", None),
        ("bytes=a-b", None),
        ("bytes=0-1,4-5", None),
        ("bytes=\u0661-\u0662", None),
        ("pages=0-1", None),
    ],
)
def test_a_single_range_is_understood_and_anything_else_means_the_whole(
    asked: str, extent: tuple[int, int] | None
) -> None:
    headers = Headers({"range": asked} if asked.isascii() else {})
    assert requested_extent(headers, TAG, 10) == extent


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=99-100"])
def test_a_range_outside_the_file_cannot_be_served(asked: str) -> None:
    with pytest.raises(Unsatisfiable):
        requested_extent(Headers({"range": asked}), TAG, 10)


@pytest.mark.parametrize(
    ("condition", "extent"),
    [(TAG, (0, 1)), ('"other"', None), (f"W/{TAG}", None), ("Wed, 21 Oct 2026 07:28:00 GMT", None)],
)
def test_a_range_of_another_version_is_the_whole_of_this_one(condition: str, extent: tuple[int, int] | None) -> None:
    assert requested_extent(Headers({"range": "bytes=0-0", "if-range": condition}), TAG, 10) == extent


@pytest.mark.parametrize(
    ("known", "expected"),
    [(TAG, True), (f'"x", W/{TAG}', True), ("*", True), ('"abcd"', False), ("abc", False), ("", False)],
)
def test_a_client_that_has_the_file_needs_no_other(known: str, expected: bool) -> None:
    assert is_known(Headers({"if-none-match": known}), TAG) is expected
    assert not is_known(Headers(), TAG)
