"""After the storm: asking for what was drawn, and drawing some of it again, since the same seed must give the same
picture."""

import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import httpx2
import orjson

from chaos.asks import Told
from chaos.audit import Fault, ReadBlob
from chaos.pictures import difference
from chaos.snapshot import ImageRecord, JobRecord, Snapshot

TOLERANCE = 4  # levels of 255: merging different crowds of samples rounds differently
SAMPLE = 16
WAIT_S = 60

Pair = tuple[Told, JobRecord]


def sample(told: Sequence[Told], snapshot: Snapshot, rng: random.Random) -> list[Pair]:
    """Finished jobs with what was asked for; those first that were interrupted most often."""
    finished = {job.id: job for job in snapshot.jobs if job.status == "finished"}
    pairs = [(each, finished[job_id]) for each in told for job_id in each.job_ids if job_id in finished]
    rng.shuffle(pairs)
    return sorted(pairs, key=lambda pair: pair[1].crashes, reverse=True)[:SAMPLE]


@dataclass(frozen=True, slots=True)
class Visitor:
    """Asks one server, in peace, for the jobs of ``snapshot``; ``secrets`` by account."""

    port: int
    secrets: Mapping[str, str]
    http: httpx2.AsyncClient
    snapshot: Snapshot
    read_blob: ReadBlob

    async def wrong_links(self, pairs: Sequence[Pair]) -> AsyncIterator[Fault]:
        """Jobs whose result does not bring, by its links, the files that lie in the store."""
        for told, job in pairs:
            reply = await self.http.get(self._url(f"/v1/jobs/{job.id}"), headers=self._key(told.ask.account))
            if reply.status_code != 200 or reply.json()["status"] != "finished":
                yield Fault("not found again", job.id, f"answered {reply.status_code}: {reply.text[:200]}")
                continue
            images = images_of(self.snapshot, job.id)
            links = [picture["url"] for picture in reply.json()["result"]["data"] if "url" in picture]
            for image, link in zip(images, links, strict=bool(links)):  # a reply asked for in base64 has none
                file = await self.http.get(link)
                if file.content != self.read_blob(image.key):
                    yield Fault("wrong link", image.id, f"{link} answered {file.status_code}, not the file")

    async def redraw(self, pairs: Sequence[Pair]) -> list[str]:
        """New jobs with the same fields as ``pairs`` and seeds as those had; gives their ids once they are over."""
        return [await self._redraw(told, job) for told, job in pairs]

    async def _redraw(self, told: Told, job: JobRecord) -> str:
        body = {"operation": told.ask.operation, **told.ask.fields, "seed": job.seed}
        headers = {**self._key("free"), "Content-Type": "application/json"}
        reply = await self.http.post(self._url("/v1/jobs"), content=orjson.dumps(body), headers=headers)
        job_id = str(reply.raise_for_status().json()["id"])
        (await self.http.get(self._url(f"/v1/jobs/{job_id}?wait={WAIT_S}"), headers=headers)).raise_for_status()
        return job_id

    def _key(self, account: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secrets[account]}"}

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


def images_of(snapshot: Snapshot, job_id: str) -> list[ImageRecord]:
    """A job's images in their order."""
    return sorted((image for image in snapshot.images if image.job_id == job_id), key=lambda image: image.index)


def levels(snapshot: Snapshot, job_id: str, again_id: str, read_blob: ReadBlob) -> int:
    """How far the pictures of two jobs are apart, of 255; that also when one of them has fewer."""
    files = [[read_blob(image.key) for image in images_of(snapshot, each)] for each in (job_id, again_id)]
    if len(files[0]) != len(files[1]) or not all(files[0] + files[1]):
        return 255
    return max((difference(a or b"", b or b"") for a, b in zip(*files, strict=True)), default=255)


def other_pictures(pairs: Sequence[Pair], found: Sequence[int]) -> list[Fault]:
    """Jobs whose pictures are further than TOLERANCE from what their seed draws; ``found`` are their `levels`."""
    return [
        Fault("other picture", job.id, f"{apart} of 255 from what its seed draws ({job.crashes} crashes)")
        for (_, job), apart in zip(pairs, found, strict=True)
        if apart > TOLERANCE
    ]
