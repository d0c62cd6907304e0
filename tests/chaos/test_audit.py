"""The audit finds every fault that is planted in a world that was sound, and nothing in the sound one."""

import io
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from PIL import Image

from chaos.asks import Ask, Told
from chaos.audit import Fault, audit, difference_micro
from chaos.figures import figures, table
from chaos.snapshot import AccountRecord, DeliveryRecord, ImageRecord, JobRecord, LedgerRecord, Snapshot

CRASHED = {"code": "internal_error", "message": "its process died 3 times"}


def png(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 4), colour).save(file, "PNG")
    return file.getvalue()


@dataclass
class World:
    """What clients were told, what the database holds, the blobs, and the webhooks that have come."""

    told: list[Told]
    snapshot: Snapshot
    blobs: dict[str, bytes]
    came: set[str]

    def faults(self) -> list[Fault]:
        return audit(self.told, self.snapshot, self.blobs.get, self.came, max_crashes=3)

    def kinds(self) -> set[str]:
        return {fault.kind for fault in self.faults()}


def ask(key: str, **other: object) -> Told:
    told = Told(Ask(key, "rich", "job", "generate", {"n": 2}, **other))  # type: ignore[arg-type]
    told.job_ids.add(f"job_{key}")
    return told


def job(key: str, status: str, *, cost_micro: int = 0, crashes: int = 0, hooked: bool = False) -> JobRecord:
    error = None if status == "finished" else CRASHED
    return JobRecord(f"job_{key}", "rich", key, status, 2, 7, 1 + crashes, crashes, cost_micro, error, hooked)


def image(key: str, index: int, data: bytes) -> ImageRecord:
    return ImageRecord(f"img_{key}_{index}", f"job_{key}", index, f"{key}{index}.png", 8, 4, len(data))


@pytest.fixture
def world() -> World:
    """Two jobs finished, one of them after a crash; one failed, one cancelled; one ask was refused."""
    blobs = {f"{key}{index}.png": png(colour) for key, colour in (("a", "red"), ("b", "blue")) for index in (0, 1)}
    return World(
        told=[ask("a"), ask("b"), ask("c"), ask("d", then="cancel"), Told(ask("e").ask, refused="402")],
        snapshot=Snapshot(
            jobs=(
                job("a", "finished", cost_micro=30, hooked=True),
                job("b", "finished", cost_micro=12, crashes=1),
                job("c", "failed", crashes=3, hooked=True),
                job("d", "cancelled"),
            ),
            images=tuple(image(name[0], int(name[1]), data) for name, data in blobs.items()),
            ledger=(
                LedgerRecord("rich", None, 1000),
                LedgerRecord("rich", "job_a", -30),
                LedgerRecord("rich", "job_b", -12),
            ),
            accounts=(AccountRecord("rich", "rich", 958, 0), AccountRecord("free", "free", None, 0)),
            deliveries=(
                DeliveryRecord("whd_a", "job_a", None, 5.0, None),
                DeliveryRecord("whd_c", "job_c", 9.0, None, None),
            ),
        ),
        blobs=blobs,
        came={"whd_a"},
    )


def test_a_sound_world_has_no_faults(world: World) -> None:
    assert world.faults() == []
    assert difference_micro(world.snapshot) == {"rich": 0}


Plant = Callable[[World], object]


def with_job(world: World, index: int, **changes: object) -> None:
    jobs = list(world.snapshot.jobs)
    jobs[index] = replace(jobs[index], **changes)  # type: ignore[arg-type]
    world.snapshot = replace(world.snapshot, jobs=tuple(jobs))


def with_images(world: World, *images: ImageRecord) -> None:
    world.snapshot = replace(world.snapshot, images=images)


def with_ledger(world: World, *entries: LedgerRecord) -> None:
    world.snapshot = replace(world.snapshot, ledger=entries)


def with_account(world: World, **changes: object) -> None:
    rich, *others = world.snapshot.accounts
    accounts = (replace(rich, **changes), *others)  # type: ignore[arg-type]
    world.snapshot = replace(world.snapshot, accounts=accounts)


def with_deliveries(world: World, *deliveries: DeliveryRecord) -> None:
    world.snapshot = replace(world.snapshot, deliveries=deliveries)


def lose(world: World) -> None:
    world.snapshot = replace(world.snapshot, jobs=world.snapshot.jobs[:2] + world.snapshot.jobs[3:])


def make_twice(world: World) -> None:
    again = replace(world.snapshot.jobs[2], id="job_c2")
    world.snapshot = replace(world.snapshot, jobs=(*world.snapshot.jobs, again))


def make_unasked(world: World) -> None:
    stray = replace(world.snapshot.jobs[2], id="job_x", key=None)
    world.snapshot = replace(world.snapshot, jobs=(*world.snapshot.jobs, stray))


def make_refused(world: World) -> None:
    refused = replace(world.snapshot.jobs[2], id="job_e", key="e")
    world.snapshot = replace(world.snapshot, jobs=(*world.snapshot.jobs, refused))


def answer_with(world: World, index: int, job_id: str) -> None:
    world.told[index].job_ids.add(job_id)


def cut(world: World) -> None:
    """As long as before, so that only opening it tells."""
    data = world.blobs["a0.png"]
    world.blobs["a0.png"] = data[:40] + bytes(len(data) - 40)


@pytest.mark.parametrize(
    ("plant", "kind"),
    [
        (lose, "lost job"),
        (make_twice, "duplicate job"),
        (make_unasked, "unknown job"),
        (make_refused, "refused but made"),
        (lambda w: answer_with(w, 2, "job_c3"), "duplicate job"),
        (lambda w: answer_with(w, 4, "job_d"), "wrong job"),
        (lambda w: w.told[0].wrong.append("answered 418"), "wrong answer"),
        (lambda w: setattr(w.told[0], "final", "failed"), "changed its mind"),
        (lambda w: with_job(w, 2, status="running"), "unfinished job"),
        (lambda w: with_job(w, 2, status="queued"), "unfinished job"),
        (lambda w: with_job(w, 2, status="cancelled"), "cancelled unasked"),
        (lambda w: with_job(w, 2, error=None), "failed without a reason"),
        (lambda w: with_job(w, 2, error={"code": "internal_error", "message": ""}), "failed without a reason"),
        (lambda w: with_job(w, 2, error={"code": "timeout", "message": "late"}), "failed"),
        (lambda w: with_job(w, 2, crashes=2), "failed"),
        (lambda w: with_images(w, *w.snapshot.images[1:]), "image count"),
        (lambda w: with_images(w, *w.snapshot.images, w.snapshot.images[0]), "duplicate image"),
        (
            lambda w: with_images(w, *w.snapshot.images, image("c", 0, w.blobs["a0.png"])),
            "image without a finished job",
        ),
        (lambda w: w.blobs.pop("b1.png"), "missing blob"),
        (cut, "broken picture"),
        (lambda w: w.blobs.update({"a0.png": w.blobs["a0.png"] + b"x"}), "broken picture"),
        (lambda w: with_images(w, *(replace(i, width_px=9) for i in w.snapshot.images)), "broken picture"),
        (lambda w: with_ledger(w, *w.snapshot.ledger, w.snapshot.ledger[1]), "charged twice"),
        (lambda w: with_ledger(w, *w.snapshot.ledger, LedgerRecord("rich", "job_c", -1)), "charged for nothing"),
        (lambda w: with_ledger(w, *w.snapshot.ledger[:2]), "not charged"),
        (lambda w: with_job(w, 0, cost_micro=31), "wrong charge"),
        (lambda w: with_job(w, 0, owner="free"), "wrong charge"),
        (lambda w: with_account(w, balance_micro=959), "wrong balance"),
        (lambda w: with_account(w, reserved_micro=5), "still reserved"),
        (lambda w: with_deliveries(w, *w.snapshot.deliveries[:1]), "webhooks"),
        (lambda w: with_deliveries(w, *w.snapshot.deliveries, w.snapshot.deliveries[0]), "webhooks"),
        (lambda w: with_job(w, 0, hooked=False), "webhooks"),
        (lambda w: w.came.clear(), "webhook never came"),
        (lambda w: with_deliveries(w, replace(w.snapshot.deliveries[1], next_at_s=None)), "webhook forgotten"),
        (lambda w: with_deliveries(w, replace(w.snapshot.deliveries[1], given_up_at_s=1.0)), "webhook given up"),
    ],
)
def test_a_planted_fault_is_found(world: World, plant: Plant, kind: str) -> None:
    plant(world)
    assert kind in world.kinds()


def test_whoever_hangs_up_may_have_his_job_cancelled(world: World) -> None:
    world.told[3] = ask("d", then="leave")
    assert world.kinds() == set()


def test_a_job_whose_answer_nobody_saw_is_no_fault(world: World) -> None:
    world.told[2].job_ids.clear()
    assert world.kinds() == set()
    assert figures(world.told, world.snapshot, [])["accepted, answer never seen"] == "1"


def test_the_figures_count_what_is_there(world: World) -> None:
    lose(world)
    counted = figures(world.told, world.snapshot, world.faults())
    wanted = {"accepted": "4", "finished": "2", "cancelled": "1", "failed": "0", "lost": "1", "duplicates": "0"}
    assert counted.items() >= wanted.items()
    assert counted["finished after a crash"] == "1"


def test_failures_are_counted_by_reason(world: World) -> None:
    assert figures(world.told, world.snapshot, [])["failed"] == "1 (internal_error 1)"


def test_runs_stand_side_by_side() -> None:
    lines = table({"sqlite": {"kills": "20", "lost": "0"}, "postgres": {"kills": "21"}}).splitlines()
    assert [[cell.strip() for cell in line.strip("|").split("|")] for line in (lines[0], *lines[2:])] == [
        ["", "sqlite", "postgres"],
        ["kills", "20", "21"],
        ["lost", "0", ""],
    ]
