import pytest

from limner.webhooks.schedule import GIVE_UP_AFTER_S, JITTER, MAX_RETRY_AFTER_S, Again, Delivered, GiveUp, decide
from limner.webhooks.sender import Answer

NOW_S = 1000.0


def after(answer: Answer | str, attempts: int = 0, *, age_s: float = 0.0, chance: float = 0.0) -> object:
    return decide(answer, attempts=attempts, created_at_s=NOW_S - age_s, now_s=NOW_S, chance=chance)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_delivered(status: int) -> None:
    assert after(Answer(status)) == Delivered()


@pytest.mark.parametrize("status", [100, 199, 300, 301, 302, 307, 308, 400, 401, 404, 429, 500, 503])
def test_everything_else_is_tried_again(status: int) -> None:
    assert after(Answer(status)) == Again(NOW_S + 5, f"it answered {status}")


def test_410_asks_for_no_more() -> None:
    assert after(Answer(410)) == GiveUp("it answered 410")


@pytest.mark.parametrize(("attempts", "wait_s"), [*enumerate((5, 30, 120, 600, 3600, 21600, 21600, 21600))])
def test_waits_grow(attempts: int, wait_s: float) -> None:
    assert after("it could not be reached", attempts) == Again(NOW_S + wait_s, "it could not be reached")


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_jitter_only_lengthens(chance: float) -> None:
    assert after(Answer(500), 3, chance=chance) == Again(NOW_S + 600 * (1 + JITTER * chance), "it answered 500")


@pytest.mark.parametrize(
    ("asked_s", "wait_s"), [(0.0, 5.0), (1.0, 5.0), (77.0, 77.0), (10.0**9, MAX_RETRY_AFTER_S)], ids=str
)
def test_retry_after_is_honoured_within_bounds(asked_s: float, wait_s: float) -> None:
    assert after(Answer(503, asked_s)) == Again(NOW_S + wait_s, "it answered 503")


def test_what_would_come_after_a_day_is_given_up() -> None:
    assert after(Answer(500), 5, age_s=GIVE_UP_AFTER_S - 21600) == Again(NOW_S + 21600, "it answered 500")
    assert after(Answer(500), 5, age_s=GIVE_UP_AFTER_S - 21599) == GiveUp("it answered 500")


def test_a_receiver_that_is_down_is_tried_a_handful_of_times_over_a_day() -> None:
    now_s, attempts = NOW_S, 0
    while isinstance(decision := decide("down", attempts=attempts, created_at_s=NOW_S, now_s=now_s, chance=0.5), Again):
        now_s, attempts = decision.at_s, attempts + 1
    assert 12 * 3600 < now_s - NOW_S <= GIVE_UP_AFTER_S
    assert 6 <= attempts <= 10
