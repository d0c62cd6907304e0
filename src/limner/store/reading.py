"""Looking jobs up: one, many, lists, the state of the queue."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, Select, and_, bindparam, func, or_, select, tuple_

from limner.errors import NotFound
from limner.store.rows import JobFilter, JobRow
from limner.store.tables import QUEUED, RUNNING, columns_of, jobs

AT_ONCE = 500  # names in one IN (...); SQLite before 3.32 took 999 variables in a statement

_COLUMNS = columns_of(jobs, JobRow)
_ID: BindParameter[Any] = bindparam("b_id")
_GET = select(*_COLUMNS).where(jobs.c.id == _ID)
_GET_LOCKED = _GET.with_for_update()
_GET_MANY = select(*_COLUMNS).where(jobs.c.id.in_(bindparam("b_ids", expanding=True)))
_PLACE = select(jobs.c.status, jobs.c.model, jobs.c.priority, jobs.c.rank, jobs.c.seq).where(jobs.c.id == _ID)
_PRIORITY: BindParameter[Any] = bindparam("b_priority")
_RANK: BindParameter[Any] = bindparam("b_rank")
_BEFORE = (
    select(func.count())
    .select_from(jobs)
    .where(
        QUEUED,
        jobs.c.model.in_(bindparam("b_models", expanding=True)),
        or_(
            jobs.c.priority > _PRIORITY,
            and_(jobs.c.priority == _PRIORITY, tuple_(jobs.c.rank, jobs.c.seq) < tuple_(_RANK, bindparam("b_seq"))),
        ),
    )
)
_DEPTHS = tuple(  # one each, as each status has an index of its own
    select(jobs.c.model, func.count()).where(status).group_by(jobs.c.model) for status in (QUEUED, RUNNING)
)
_PAGE_END = select(jobs.c.owner, jobs.c.created_at_s, jobs.c.seq).where(jobs.c.id == _ID)


def get(connection: Connection, id: str, *, lock: bool = False) -> JobRow:
    """The job; raises NotFound. ``lock`` keeps others from changing it before this transaction ends."""
    found = connection.execute(_GET_LOCKED if lock else _GET, {"b_id": id}).one_or_none()
    if found is None:
        raise NotFound(f"no such job: {id}")
    return JobRow(*found)


def get_many(connection: Connection, ids: Sequence[str]) -> dict[str, JobRow]:
    """Those of the jobs that exist, by id."""
    found: dict[str, JobRow] = {}
    for start in range(0, len(ids), AT_ONCE):
        for row in connection.execute(_GET_MANY, {"b_ids": list(ids[start : start + AT_ONCE])}):
            found[row.id] = JobRow(*row)
    return found


def list_jobs(connection: Connection, wanted: JobFilter) -> tuple[JobRow, ...]:
    """Newest first. Raises NotFound when the job to go on from is gone or another owner's."""
    query = _matching(wanted)
    if wanted.before is not None:
        last = connection.execute(_PAGE_END, {"b_id": wanted.before}).one_or_none()
        if last is None or wanted.owner not in (None, last.owner):
            raise NotFound(f"no such job to list from: {wanted.before}", param="after")
        query = query.where(tuple_(jobs.c.created_at_s, jobs.c.seq) < tuple_(last.created_at_s, last.seq))
    return tuple(JobRow(*row) for row in connection.execute(query))


def _matching(wanted: JobFilter) -> Select[*tuple[Any, ...]]:
    query = select(*_COLUMNS).order_by(jobs.c.created_at_s.desc(), jobs.c.seq.desc()).limit(wanted.limit)
    if wanted.statuses:
        query = query.where(jobs.c.status.in_(sorted(wanted.statuses)))
    for column, value in (
        (jobs.c.owner, wanted.owner),
        (jobs.c.model, wanted.model),
        (jobs.c.operation, wanted.operation),
    ):
        if value is not None:
            query = query.where(column == value)
    if wanted.created_after_s is not None:
        query = query.where(jobs.c.created_at_s > wanted.created_after_s)
    if wanted.created_before_s is not None:
        query = query.where(jobs.c.created_at_s < wanted.created_before_s)
    return query


def position(connection: Connection, id: str, models: Collection[str] | None) -> int | None:
    """How many queued jobs of ``models`` (by default the job's own model) come before it; None unless it is queued."""
    job = connection.execute(_PLACE, {"b_id": id}).one_or_none()
    if job is None or job.status != "queued":
        return None
    place = {"b_priority": job.priority, "b_rank": job.rank, "b_seq": job.seq}
    return connection.execute(_BEFORE, {"b_models": list(models or (job.model,)), **place}).scalar_one()


def depth(connection: Connection) -> dict[str, tuple[int, int]]:
    """Jobs (queued, running) by model, without models that have neither."""
    queued, running = ({row[0]: row[1] for row in connection.execute(each)} for each in _DEPTHS)
    return {model: (queued.get(model, 0), running.get(model, 0)) for model in queued | running}
