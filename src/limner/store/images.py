"""Rows of finished pictures. Several may share a blob: blobs are named by their content."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, delete, select, tuple_

from limner.errors import NotFound
from limner.store.reading import AT_ONCE
from limner.store.retention import forget
from limner.store.rows import ImageRow
from limner.store.tables import columns_of, images

_ID: BindParameter[Any] = bindparam("b_id")
_GET = select(*columns_of(images, ImageRow)).where(images.c.id == _ID)
_OF_JOBS = (
    select(*columns_of(images, ImageRow))
    .where(images.c.job_id.in_(bindparam("b_jobs", expanding=True)))
    .order_by(images.c.index)
)
_NEWEST = select(*columns_of(images, ImageRow)).order_by(images.c.created_at_s.desc(), images.c.id.desc())
_PAGE_END = select(images.c.owner, images.c.created_at_s).where(images.c.id == _ID)
_DELETE = delete(images).where(images.c.id == _ID).returning(images.c.key)


def image(connection: Connection, id: str) -> ImageRow:
    """The picture; raises NotFound."""
    found = connection.execute(_GET, {"b_id": id}).one_or_none()
    if found is None:
        raise NotFound(f"no such image: {id}")
    return ImageRow(*found)


def images_of(connection: Connection, job_ids: Sequence[str]) -> dict[str, tuple[ImageRow, ...]]:
    """Every job's pictures in their order, without those that have been deleted."""
    found: dict[str, list[ImageRow]] = {job_id: [] for job_id in job_ids}
    for start in range(0, len(job_ids), AT_ONCE):
        for row in connection.execute(_OF_JOBS, {"b_jobs": list(job_ids[start : start + AT_ONCE])}):
            found[row.job_id].append(ImageRow(*row))
    return {job_id: tuple(images) for job_id, images in found.items()}


def list_images(connection: Connection, owner: str | None, limit: int, before: str | None) -> tuple[ImageRow, ...]:
    """Pictures newest first, ``owner`` None meaning everybody's; ``before`` is the id of the last one of the page
    before. Raises NotFound when that one is gone or another owner's."""
    query = _NEWEST.limit(limit)
    if owner is not None:
        query = query.where(images.c.owner == owner)
    if before is not None:
        last = connection.execute(_PAGE_END, {"b_id": before}).one_or_none()
        if last is None or owner not in (None, last.owner):
            raise NotFound(f"no such image to list from: {before}", param="after")
        query = query.where(tuple_(images.c.created_at_s, images.c.id) < tuple_(last.created_at_s, before))
    return tuple(ImageRow(*row) for row in connection.execute(query))


def delete_image(connection: Connection, id: str, file_due_at_s: float) -> None:
    """Remove the row and note when its blob may go. Raises NotFound."""
    key = connection.execute(_DELETE, {"b_id": id}).scalar_one_or_none()
    if key is None:
        raise NotFound(f"no such image: {id}")
    forget(connection, [key], file_due_at_s)
