"""Errors as JSON and back."""

import pytest

from limner.errors import Cancelled, ClientLeft, InternalError, LimnerError, NotReady
from limner.records import cancellation_of, error_of, error_record


def every(kind: type[LimnerError]) -> list[type[LimnerError]]:
    """The error and all that are narrower."""
    return [kind, *(found for narrower in kind.__subclasses__() for found in every(narrower))]


@pytest.mark.parametrize("kind", [kind for kind in every(LimnerError) if kind is not LimnerError])
def test_an_error_comes_back_as_it_was(kind: type[LimnerError]) -> None:
    error = kind("why", param="size", retry_after_s=2.5)
    again = error_of(error_record(error))
    assert type(again) is kind
    assert error_record(again) == error_record(error)


@pytest.mark.parametrize("reason", [Cancelled("not wanted"), ClientLeft("gone")])
def test_why_a_job_was_cancelled_comes_back(reason: ClientLeft) -> None:
    again = cancellation_of(error_record(reason))
    assert (type(again), again.message) == (type(reason), reason.message)


@pytest.mark.parametrize("record", [error_record(NotReady("x")), {"code": "of_tomorrow", "message": "x"}])
def test_a_reason_that_is_not_known_means_cancelled(record: dict[str, object]) -> None:
    assert type(cancellation_of(record)) is Cancelled


def test_an_error_that_is_not_known_is_ours() -> None:
    assert type(error_of({"code": "of_tomorrow", "message": "x"})) is InternalError
