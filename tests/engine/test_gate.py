"""Many run together; a change runs alone."""

import threading

from limner.engine.gate import Gate
from tests.engine.conftest import STILL_S


def test_runners_pass_together() -> None:
    gate, both = Gate(), threading.Barrier(2, timeout=STILL_S)

    def run() -> None:
        with gate.reading():
            both.wait()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(STILL_S)
    assert not both.broken


def test_a_change_waits_for_runners_and_keeps_new_ones_out() -> None:
    gate = Gate()
    log: list[str] = []
    waiting, changed = threading.Event(), threading.Event()

    def change() -> None:
        waiting.set()
        with gate.writing():
            log.append("change")
        changed.set()

    with gate.reading():
        thread = threading.Thread(target=change)
        thread.start()
        assert waiting.wait(STILL_S)
        log.append("run")
    assert changed.wait(STILL_S)
    with gate.reading():
        log.append("run again")
    thread.join(STILL_S)
    assert log == ["run", "change", "run again"]
