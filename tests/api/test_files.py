"""Finished pictures: links, owners, parts, thumbnails, lists, recipes, deleting."""

import asyncio
import io
import time
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from fastapi import FastAPI
from PIL import Image

from limner.accounts import NewKey
from limner.api.gateway import Gateway
from limner.errors import NotFound
from limner.media.picture_text import read_recipe
from limner.service.upkeep import UNCLAIMED_S

URL = "/v1/images/generations"
ASKED = {"prompt": "a red circle", "size": "256x256", "seed": 7, "response_format": "url"}


async def draw(client: httpx2.AsyncClient, **more: Any) -> list[str]:
    """The links of what was drawn."""
    reply = await client.post(URL, json=ASKED | more)
    assert reply.status_code == 200, reply.text
    return [picture["url"] for picture in reply.json()["data"]]


def plain(url: str) -> str:
    """The link without what makes it one."""
    return url.partition("?")[0]


def id_of(url: str) -> str:
    return urlsplit(url).path.rpartition("/")[2].partition(".")[0]


@pytest.fixture
def gateway(app: FastAPI) -> Gateway:
    gateway = app.state.gateway
    assert isinstance(gateway, Gateway)
    return gateway


def client_with(app: FastAPI, secret: str) -> httpx2.AsyncClient:
    headers = {"Authorization": f"Bearer {secret}"}
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://limner.test", headers=headers)


@pytest.fixture
async def people(app: FastAPI, gateway: Gateway) -> dict[str, httpx2.AsyncClient]:
    """Anna and Bert draw and look, Clara only draws, Dora administers."""
    scopes = {
        "anna": {"generate", "read"},
        "bert": {"generate", "read"},
        "clara": {"generate"},
        "dora": {"read", "generate", "admin"},
    }
    made = {name: await gateway.keyring.create(NewKey(name, frozenset(own))) for name, own in scopes.items()}
    return {name: client_with(app, secret) for name, (secret, _) in made.items()}


async def test_a_link_opens_for_anybody(client: httpx2.AsyncClient, people: dict[str, httpx2.AsyncClient]) -> None:
    (url,) = await draw(people["anna"])
    reply = await client.get(url)
    assert reply.status_code == 200
    assert Image.open(io.BytesIO(reply.content)).size == (256, 256)
    name = urlsplit(url).path.rpartition("/")[2]
    assert dict(reply.headers) | {"x-request-id": ""} == {
        "content-type": "image/png",
        "content-length": str(len(reply.content)),
        "accept-ranges": "bytes",
        "etag": reply.headers["etag"],
        "cache-control": "private, max-age=86400, immutable",
        "content-disposition": f'inline; filename="{name}"',
        "content-security-policy": "default-src 'none'; sandbox",
        "x-content-type-options": "nosniff",
        "x-request-id": "",
    }


@pytest.mark.parametrize(
    "change",
    [{"signature": "0" * 64}, {"signature": ""}, {"expires": "99999999999"}, {"expires": ""}, {"expires": None}],
)
async def test_a_changed_link_is_forbidden_to_all(client: httpx2.AsyncClient, change: dict[str, str | None]) -> None:
    (url,) = await draw(client)
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()} | change
    reply = await client.get(plain(url), params={name: value for name, value in query.items() if value is not None})
    assert reply.status_code == 403
    assert reply.json()["error"]["param"] == "signature"


async def test_a_link_opens_one_picture_and_no_other(client: httpx2.AsyncClient) -> None:
    first, second = await draw(client, n=2)
    query = first.partition("?")[2]
    assert (await client.get(f"{plain(second)}?{query}")).status_code == 403
    for tail in ("/recipe", "/rerun"):
        assert (await client.get(f"{plain(first)}{tail}?{query}")).status_code in (403, 405)


async def test_a_link_ends_with_its_time(client: httpx2.AsyncClient, gateway: Gateway) -> None:
    (url,) = await draw(client)
    reply = await client.get(f"{plain(url)}?{gateway.blobs.sign(id_of(url), 1)}")
    assert (reply.status_code, reply.json()["error"]["param"]) == (403, "expires")


async def test_a_picture_is_its_owners(people: dict[str, httpx2.AsyncClient], client: httpx2.AsyncClient) -> None:
    (url,) = await draw(people["anna"])
    path = plain(url)
    assert (await people["anna"].get(path)).status_code == 200
    assert (await people["anna"].get(path.removesuffix(".png"))).status_code == 200
    assert (await people["dora"].get(path)).status_code == 200
    for tail in ("", "/recipe"):
        assert (await people["bert"].get(path + tail)).status_code == 404
        assert (await people["clara"].get(path + tail)).status_code == 403
        assert (await client.get(path + tail)).status_code == 401
    query = url.partition("?")[2]
    assert (await client.get(f"{path}/recipe?{query}")).status_code == 403


@pytest.mark.parametrize("end", ["", ".png"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
async def test_what_is_not_there_is_not_found(client: httpx2.AsyncClient, end: str, method: str) -> None:
    for name in ("img_0_0", "job_0", "img_", "..%2Flink-secret", "2026"):
        assert (await client.request(method, f"/v1/files/{name}{end}")).status_code == 404


async def test_an_extension_is_the_pictures_own(client: httpx2.AsyncClient) -> None:
    (png,), (jpeg,) = await draw(client), await draw(client, output_format="jpeg")
    assert (await client.get(plain(png).replace(".png", ".webp"))).status_code == 404
    assert (await client.get(png.replace(".png", ".jpeg"))).status_code == 404
    assert (await client.get(jpeg.replace(".jpeg", ".jpg"))).headers["content-type"] == "image/jpeg"


async def test_a_file_comes_in_parts(client: httpx2.AsyncClient) -> None:
    (url,) = await draw(client)
    whole = (await client.get(url)).content
    size = len(whole)
    for asked, start, end in (("bytes=0-99", 0, 100), ("bytes=100-", 100, size), ("bytes=-7", size - 7, size)):
        part = await client.get(url, headers={"Range": asked})
        assert (part.status_code, part.content) == (206, whole[start:end])
        assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
        assert part.headers["content-length"] == str(end - start)
    outside = await client.get(url, headers={"Range": f"bytes={size}-"})
    assert (outside.status_code, outside.headers["content-range"]) == (416, f"bytes */{size}")
    assert outside.json()["error"]["param"] == "Range"
    other = await client.get(url, headers={"Range": "bytes=0-1", "If-Range": '"other"'})
    assert (other.status_code, other.content) == (200, whole)


async def test_a_file_that_is_known_is_not_sent_again(client: httpx2.AsyncClient) -> None:
    (url,) = await draw(client)
    etag = (await client.get(url)).headers["etag"]
    for address, tag in ((url, etag), (f"{url}&w=64", etag.replace('"', "") + "-w64")):
        quoted = tag if tag.startswith('"') else f'"{tag}"'
        reply = await client.get(address, headers={"If-None-Match": f'"x", {quoted}'})
        assert (reply.status_code, reply.content, reply.headers["etag"]) == (304, b"", quoted)
        assert "content-type" not in reply.headers


async def test_a_head_tells_the_same_without_the_file(client: httpx2.AsyncClient) -> None:
    (url,) = await draw(client)
    got, told = await client.get(url), await client.head(url)
    assert (told.status_code, told.content) == (200, b"")
    assert {**told.headers, "x-request-id": ""} == {**got.headers, "x-request-id": ""}
    assert (await client.head(url, headers={"Range": "bytes=0-1"})).status_code == 200


@pytest.mark.parametrize("output_format", ["png", "jpeg", "webp"])
async def test_a_thumbnail_has_the_width_asked_for(client: httpx2.AsyncClient, output_format: str) -> None:
    (url,) = await draw(client, output_format=output_format, size="256x128")
    small = await client.get(f"{url}&w=64")
    assert small.status_code == 200
    assert small.headers["content-type"] == f"image/{output_format}"
    picture = Image.open(io.BytesIO(small.content))
    assert (picture.size, picture.format) == ((64, 32), output_format.upper())
    assert read_recipe(small.content) is None
    assert read_recipe((await client.get(url)).content) is not None


@pytest.mark.parametrize("width", ["256", "2048"])
async def test_a_thumbnail_is_never_larger_than_the_picture(client: httpx2.AsyncClient, width: str) -> None:
    (url,) = await draw(client)
    assert (await client.get(f"{url}&w={width}")).content == (await client.get(url)).content


@pytest.mark.parametrize("width", ["15", "2049", "0", "-64", "64px", "6.4", "", "\u0666\u0664"])
async def test_another_width_is_refused(client: httpx2.AsyncClient, width: str) -> None:
    (url,) = await draw(client)
    reply = await client.get(f"{url}&w={width}")
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "w")


async def test_a_list_has_the_callers_pictures_newest_first(
    people: dict[str, httpx2.AsyncClient], client: httpx2.AsyncClient
) -> None:
    anna, bert = people["anna"], people["bert"]
    urls = [url for seed in (1, 5) for url in await draw(anna, seed=seed, n=2)]
    await draw(bert, seed=9)
    body = (await anna.get("/v1/files")).json()
    assert (body["object"], body["has_more"]) == ("list", False)
    assert [entry["seed"] for entry in body["data"]] == [6, 5, 2, 1]
    newest = body["data"][0]
    whole = await client.get(newest["url"])
    assert newest == {
        "id": id_of(urls[3]),
        "object": "file",
        "url": newest["url"],
        "job_id": newest["job_id"],
        "media_type": "image/png",
        "width": 256,
        "height": 256,
        "bytes": len(whole.content),
        "seed": 6,
        "created_at": newest["created_at"],
        "expires_at": newest["created_at"] + 7 * 86_400,
    }
    assert (await anna.get(f"/v1/jobs/{newest['job_id']}")).json()["status"] == "finished"
    assert [entry["seed"] for entry in (await people["dora"].get("/v1/files")).json()["data"]] == [9, 6, 5, 2, 1]


async def test_a_list_comes_in_pages(client: httpx2.AsyncClient) -> None:
    for seed in (1, 5):
        await draw(client, seed=seed, n=3)
    first = (await client.get("/v1/files", params={"limit": "4"})).json()
    assert ([entry["seed"] for entry in first["data"]], first["has_more"]) == ([7, 6, 5, 3], True)
    after = first["data"][-1]["id"]
    second = (await client.get("/v1/files", params={"limit": "4", "after": after})).json()
    assert ([entry["seed"] for entry in second["data"]], second["has_more"]) == ([2, 1], False)
    after = second["data"][-1]["id"]
    assert (await client.get("/v1/files", params={"after": after})).json()["data"] == []


@pytest.mark.parametrize(
    ("query", "status", "param"),
    [("limit=0", 400, "limit"), ("limit=101", 400, "limit"), ("after=img_x", 404, "after"), ("page=2", 400, "page")],
)
async def test_a_list_is_asked_for_rightly(client: httpx2.AsyncClient, query: str, status: int, param: str) -> None:
    reply = await client.get(f"/v1/files?{query}")
    assert (reply.status_code, reply.json()["error"]["param"]) == (status, param)


async def test_a_recipe_has_everything_that_made_the_picture(client: httpx2.AsyncClient) -> None:
    _, url = await draw(client, n=2, num_inference_steps=3)
    reply = await client.get(f"{plain(url)}/recipe")
    assert reply.headers["cache-control"] == "private, no-cache"
    recipe = reply.json()
    assert recipe["id"] == id_of(url)
    assert (recipe["prompt"], recipe["model"], recipe["model_revision"]) == ("a red circle", "sketch", "fake-revision")
    assert (recipe["seed"], recipe["effective"]["seed"], recipe["size"]) == (8, 8, "256x256")
    assert recipe["params"]["num_inference_steps"] == 3
    assert {"limner", "torch", "diffusers"} <= set(recipe["versions"])
    assert recipe["finished_at"] >= recipe["created_at"]
    embedded = read_recipe((await client.get(url)).content)
    assert embedded is not None
    assert embedded.items() <= recipe.items()


async def test_a_deleted_picture_is_gone(
    client: httpx2.AsyncClient, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, gone = await draw(client, n=2)
    key = (await gateway.service.store.image(id_of(gone))).key
    reply = await client.delete(plain(gone))
    assert (reply.status_code, reply.content) == (204, b"")
    for method, url in (("GET", gone), ("GET", plain(gone)), ("DELETE", plain(gone))):
        assert (await client.request(method, url)).status_code == 404
    assert (await client.get(kept)).status_code == 200
    assert len((await client.get("/v1/files")).json()["data"]) == 1
    await gateway.service.sweep()
    assert await gateway.blobs.size(key), "a picture that is just being stored may be the same"
    in_an_hour = SimpleNamespace(time=lambda: time.time() + UNCLAIMED_S + 1)
    monkeypatch.setattr("limner.service.upkeep.time", in_an_hour)
    await gateway.service.sweep()
    with pytest.raises(NotFound):
        await gateway.blobs.size(key)


async def test_what_two_pictures_share_goes_with_the_last(client: httpx2.AsyncClient) -> None:
    (first,), (second,) = await draw(client), await draw(client)
    await client.delete(plain(first))
    assert (await client.get(second)).status_code == 200
    await client.delete(plain(second))
    assert (await client.get(second)).status_code == 404


async def test_only_the_owner_and_admins_delete(
    people: dict[str, httpx2.AsyncClient], client: httpx2.AsyncClient
) -> None:
    (url,) = await draw(people["anna"])
    assert (await people["bert"].delete(plain(url))).status_code == 404
    assert (await people["clara"].delete(plain(url))).status_code == 403
    assert (await client.delete(url)).status_code == 401
    assert (await people["dora"].delete(plain(url))).status_code == 204


async def test_many_thumbnails_at_once(client: httpx2.AsyncClient) -> None:
    (url,) = await draw(client)
    replies = await asyncio.gather(*(client.get(f"{url}&w={width}") for width in range(16, 48)))
    assert [Image.open(io.BytesIO(reply.content)).width for reply in replies] == list(range(16, 48))
