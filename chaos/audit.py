"""The audit: what clients were told against what the database and the blobs hold. Pure; each fault has a name."""

from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

from chaos.asks import Told
from chaos.pictures import trouble_with
from chaos.snapshot import ImageRecord, JobRecord, Snapshot

OVER = ("finished", "failed", "cancelled")
ReadBlob = Callable[[str], bytes | None]  # None: there is none under this key


@dataclass(frozen=True, slots=True)
class Fault:
    """One broken promise. ``subject`` is the job, image, key or ask it is about."""

    kind: str
    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.subject}: {self.text}"


def audit(
    told: Sequence[Told], snapshot: Snapshot, read_blob: ReadBlob, came: Container[str], *, max_crashes: int
) -> list[Fault]:
    """Every promise that was broken. A job may fail only because its process died ``max_crashes`` times; ``came`` are
    the ids of the webhooks that have arrived."""
    return [
        *_asks(told, snapshot),
        *_jobs(told, snapshot, max_crashes),
        *_images(snapshot, read_blob),
        *_ledger(snapshot),
        *_accounts(snapshot),
        *_webhooks(snapshot, came),
    ]


def _asks(told: Sequence[Told], snapshot: Snapshot) -> Iterator[Fault]:
    """What was accepted is there, once, and ended as clients saw it end; what was refused is not there."""
    jobs = {job.id: job for job in snapshot.jobs}
    by_key: dict[str | None, list[JobRecord]] = defaultdict(list)
    for job in snapshot.jobs:
        by_key[job.key].append(job)
    for each in told:
        key = each.ask.key
        yield from (Fault("wrong answer", key, text) for text in each.wrong)
        if len(each.job_ids) > 1:
            yield Fault("duplicate job", key, f"its key has named {' and '.join(sorted(each.job_ids))}")
        if len(by_key[key]) > 1:
            yield Fault("duplicate job", key, f"its key has made {', '.join(job.id for job in by_key[key])}")
        if each.refused and by_key[key]:
            yield Fault("refused but made", key, f"answered {each.refused}, and there is {by_key[key][0].id}")
        for job_id in sorted(each.job_ids - jobs.keys()):
            yield Fault("lost job", job_id, f"{key} was told of it, and the database knows nothing")
        for job in (jobs[job_id] for job_id in each.job_ids & jobs.keys()):
            if job.key is not None and job.key != key:
                yield Fault("wrong job", key, f"it was answered with {job.id}, which {job.key} has made")
            if each.final is not None and each.final != job.status:
                yield Fault("changed its mind", job.id, f"a client saw it {each.final}, the database says {job.status}")


def _jobs(told: Sequence[Told], snapshot: Snapshot, max_crashes: int) -> Iterator[Fault]:
    """Each job is over, for a good reason, and stands there once."""
    may_be_cancelled = {each.ask.key for each in told if each.ask.may_be_cancelled}
    may_be_cancelled |= {job_id for each in told if each.ask.may_be_cancelled for job_id in each.job_ids}
    known = {each.ask.key for each in told} | {job_id for each in told for job_id in each.job_ids}
    for job_id, count in Counter(job.id for job in snapshot.jobs).items():
        if count > 1:
            yield Fault("duplicate job", job_id, f"there are {count} rows of it")
    for job in snapshot.jobs:
        if not {job.id, job.key} & known:
            yield Fault("unknown job", job.id, "nobody has asked for it")
        match job.status:
            case "finished":
                pass
            case "cancelled":
                if not {job.id, job.key} & may_be_cancelled:
                    yield Fault("cancelled unasked", job.id, f"error {job.error}")
            case "failed":
                yield from _failure(job, max_crashes)
            case _:
                yield Fault("unfinished job", job.id, f"{job.status}, attempt {job.attempt}, crashes {job.crashes}")


def _failure(job: JobRecord, max_crashes: int) -> Iterator[Fault]:
    error = job.error or {}
    if not error.get("code") or not error.get("message"):
        yield Fault("failed without a reason", job.id, f"error {job.error}")
    elif error["code"] != "internal_error" or job.crashes < max_crashes:
        yield Fault("failed", job.id, f"after {job.crashes} crashes: {error['code']}: {error['message']}")


def _images(snapshot: Snapshot, read_blob: ReadBlob) -> Iterator[Fault]:
    """A finished job has its n pictures, another one none; each is stored, whole and opens."""
    of_job: dict[str, list[ImageRecord]] = defaultdict(list)
    for image in snapshot.images:
        of_job[image.job_id].append(image)
    jobs = {job.id: job for job in snapshot.jobs}
    for job_id, images in of_job.items():
        for index, count in Counter(image.index for image in images).items():
            if count > 1:
                yield Fault("duplicate image", job_id, f"{count} rows of image {index}")
        if job_id not in jobs or jobs[job_id].status != "finished":
            status = jobs[job_id].status if job_id in jobs else "unknown"
            yield Fault("image without a finished job", job_id, f"{len(images)} images, the job is {status}")
    for job in snapshot.jobs:
        indices = sorted(image.index for image in of_job[job.id])
        if job.status == "finished" and indices != list(range(job.n)):
            yield Fault("image count", job.id, f"{job.n} pictures were asked for, there are images {indices}")
    for image in snapshot.images:
        data = read_blob(image.key)
        if data is None:
            yield Fault("missing blob", image.id, f"nothing under {image.key}")
        elif reason := trouble_with(data, image):
            yield Fault("broken picture", image.id, reason)


def _ledger(snapshot: Snapshot) -> Iterator[Fault]:
    """One charge for each finished job, at the cost that the job names; none for any other."""
    jobs = {job.id: job for job in snapshot.jobs}
    charges = Counter(entry.job_id for entry in snapshot.ledger if entry.job_id is not None)
    for job_id, count in charges.items():
        if count > 1:
            yield Fault("charged twice", job_id, f"{count} ledger rows")
        if job_id not in jobs or jobs[job_id].status != "finished":
            status = jobs[job_id].status if job_id in jobs else "unknown"
            yield Fault("charged for nothing", job_id, f"the job is {status}")
    for job in snapshot.jobs:
        if job.status == "finished" and job.id not in charges:
            yield Fault("not charged", job.id, f"finished at a cost of {job.cost_micro}, no ledger row")
    for entry in snapshot.ledger:
        entered = jobs.get(entry.job_id or "")
        if entered is not None and (entry.key_id, -entry.amount_micro) != (entered.owner, entered.cost_micro):
            charged = f"{-entry.amount_micro} to {entry.key_id!r}"
            yield Fault(
                "wrong charge", entered.id, f"{charged}; the job cost {entered.cost_micro} of {entered.owner!r}"
            )


def _accounts(snapshot: Snapshot) -> Iterator[Fault]:
    """A balance is what the ledger adds up to, and nothing stays reserved."""
    for account in snapshot.accounts:
        if account.reserved_micro:
            yield Fault("still reserved", account.name, f"{account.reserved_micro} micro-credits")
        difference = difference_micro(snapshot).get(account.id, 0)
        if difference:
            yield Fault("wrong balance", account.name, f"{difference:+d} micro-credits against the ledger")


def _webhooks(snapshot: Snapshot, came: Container[str]) -> Iterator[Fault]:
    """An ended job that wants it is told of once; what counts as delivered has arrived, and nothing is given up."""
    rows = Counter(delivery.job_id for delivery in snapshot.deliveries)
    for job in snapshot.jobs:
        wanted = int(job.hooked and job.status in OVER)
        if rows[job.id] != wanted:
            yield Fault("webhooks", job.id, f"{rows[job.id]} deliveries instead of {wanted}, the job is {job.status}")
    for delivery in snapshot.deliveries:
        if delivery.given_up_at_s is not None:
            yield Fault("webhook given up", delivery.id, f"of {delivery.job_id}")
        elif delivery.delivered_at_s is None and delivery.next_at_s is None:
            yield Fault("webhook forgotten", delivery.id, f"of {delivery.job_id}: neither delivered nor due")
        if delivery.delivered_at_s is not None and delivery.id not in came:
            yield Fault("webhook never came", delivery.id, f"of {delivery.job_id}, it counts as delivered")


def difference_micro(snapshot: Snapshot) -> Mapping[str, int]:
    """Metered account's id -> its balance less what its grants and charges add up to."""
    sums: Counter[str] = Counter()
    for entry in snapshot.ledger:
        sums[entry.key_id] += entry.amount_micro
    metered = (account for account in snapshot.accounts if account.balance_micro is not None)
    return {account.id: (account.balance_micro or 0) - sums[account.id] for account in metered}
