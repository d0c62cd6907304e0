"""How lanes share waiting samples."""

from dataclasses import dataclass

from limner.engine.backlog import Backlog


@dataclass(eq=False)
class Item:
    """Something to queue."""

    name: str
    owner: str = ""
    remaining: float = 1.0
    submitted_at: float = 1e12  # in the future, so that nothing has aged
    cancelled: bool = False


def names(items: list[Item]) -> list[str]:
    return [item.name for item in items]


def test_lanes_stay_level() -> None:
    backlog: Backlog[Item] = Backlog(2, max_active=8)
    for name in "abc":
        backlog.add(Item(name))
    assert backlog.take(0) is not None
    assert backlog.take(0) is None, "the other lane has nothing yet"
    assert backlog.take(1) is not None
    assert backlog.take(0) is not None
    assert backlog.take(1) is None, "nothing is left"


def test_a_lane_takes_no_more_than_it_may_hold() -> None:
    backlog: Backlog[Item] = Backlog(1, max_active=2)
    items = [Item(name) for name in "abc"]
    for item in items:
        backlog.add(item)
    taken = [backlog.take(0) for _ in range(3)]
    assert taken == [items[0], items[1], None]
    backlog.done(0, items[0])
    assert backlog.take(0) is items[2]


def test_the_shortest_is_taken_first_but_owners_take_turns() -> None:
    backlog: Backlog[Item] = Backlog(1, max_active=8)
    for item in (Item("long", "greedy", 9), Item("short", "greedy", 1), Item("other", "modest", 99)):
        backlog.add(item)
    assert names([i for i in [backlog.take(0)] if i]) == ["short"]
    backlog.charge("greedy", 60)
    assert names([i for i in [backlog.take(0)] if i]) == ["other"]


def test_what_was_cancelled_while_waiting_is_dropped() -> None:
    backlog: Backlog[Item] = Backlog(1, max_active=8)
    item = Item("a")
    backlog.add(item)
    backlog.add(Item("b"))
    item.cancelled = True
    assert names(backlog.drop_cancelled()) == ["a"]
    assert backlog.waiting() == 1


def test_a_dead_lane_gives_up_what_it_had_and_the_last_one_everything() -> None:
    backlog: Backlog[Item] = Backlog(2, max_active=8)
    for name in "abc":
        backlog.add(Item(name))
    backlog.take(0)
    backlog.take(1)
    health = [backlog.is_healthy]
    assert names(backlog.lane_died(0)) == ["a"]
    assert [*health, backlog.is_healthy] == [True, False]
    assert names(backlog.lane_died(1)) == ["b", "c"]
    assert not backlog.add(Item("d"))


def test_a_closed_backlog_takes_nothing() -> None:
    backlog: Backlog[Item] = Backlog(1, max_active=8)
    backlog.close()
    assert not backlog.add(Item("a"))
