"""Google's own Python SDK against a running server whose embedded model stands in for theirs."""

import base64
import io
from collections.abc import Iterator

import pytest
from PIL import Image

from tests.e2e.conftest import Server

pytest.importorskip("google.genai", reason="the google-genai SDK is not installed")

from google import genai
from google.genai import errors, types

FLASH, PRO, IMAGEN = "gemini-2.5-flash-image", "gemini-3-pro-image-preview", "imagen-4.0-generate-001"


def client_of(server: Server, version: str | None = None, *, vertexai: bool = False) -> genai.Client:
    http = types.HttpOptions(base_url=server.url, api_version=version, timeout=120_000)
    return genai.Client(api_key="unused", http_options=http, vertexai=vertexai)


@pytest.fixture(params=[None, "v1beta"])
def client(emulator: Server, request: pytest.FixtureRequest) -> Iterator[genai.Client]:
    with client_of(emulator, request.param) as opened:
        yield opened


def picture(color: tuple[int, int, int], size: tuple[int, int] = (512, 512)) -> Image.Image:
    return Image.new("RGB", size, color)


def edit(words: str, image: Image.Image) -> list[types.PartUnionDict]:
    return [words, image]


def images_of(reply: types.GenerateContentResponse) -> list[Image.Image]:
    contents = [candidate.content for candidate in reply.candidates or ()]
    parts = [part for content in contents if content is not None for part in content.parts or ()]
    return [Image.open(io.BytesIO(part.inline_data.data or b"")) for part in parts if part.inline_data is not None]


def mean_color(image: Image.Image) -> tuple[int, ...]:
    pixel = image.convert("RGB").resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return tuple(map(int, pixel))


def test_text_to_image(client: genai.Client) -> None:
    config = types.GenerateContentConfig(
        response_modalities=["TEXT", "IMAGE"],
        seed=7,
        temperature=0.4,
        image_config=types.ImageConfig(aspect_ratio="16:9", image_size="1K"),
    )
    reply = client.models.generate_content(model=PRO, contents="a red circle", config=config)
    (image,) = images_of(reply)
    assert image.size == (1344, 768)
    assert reply.candidates is not None
    assert reply.candidates[0].finish_reason is types.FinishReason.STOP
    assert reply.usage_metadata is not None
    assert reply.usage_metadata.total_token_count
    assert reply.model_version == "nano_banana_pro"
    assert reply.response_id is not None
    shown = [part.as_image() for part in reply.parts or ()]
    assert [one.mime_type for one in shown if one is not None] == ["image/png"]


def test_candidates(client: genai.Client) -> None:
    config = types.GenerateContentConfig(candidate_count=2, seed=1)
    reply = client.models.generate_content(model=FLASH, contents="a star", config=config)
    one, two = images_of(reply)
    assert one.tobytes() != two.tobytes()


def test_an_edit_keeps_the_shape_of_its_picture(client: genai.Client) -> None:
    wide = picture((255, 0, 0), (640, 360))
    reply = client.models.generate_content(model=FLASH, contents=edit("make the background blue", wide))
    (image,) = images_of(reply)
    assert image.size == (1344, 768)


def test_references_by_uri(client: genai.Client) -> None:
    buffer = io.BytesIO()
    picture((0, 0, 255)).save(buffer, "PNG")
    uri = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    parts = [types.Part.from_text(text="make it red"), types.Part.from_uri(file_uri=uri, mime_type="image/png")]
    assert images_of(client.models.generate_content(model=FLASH, contents=types.UserContent(parts=parts)))


def test_a_chat_goes_on_from_its_own_picture(client: genai.Client) -> None:
    chat = client.chats.create(model=FLASH, config=types.GenerateContentConfig(seed=3))
    (first,) = images_of(chat.send_message("a red circle on a white background"))
    (second,) = images_of(chat.send_message("make the circle blue"))
    assert len(chat.get_history(curated=True)) == 4
    assert first.size == second.size
    red, _, blue = (after - before for before, after in zip(mean_color(first), mean_color(second), strict=True))
    assert blue > red  # what changed is the circle's colour, on the picture that was there


def test_a_chat_streams(client: genai.Client) -> None:
    chat = client.chats.create(model=FLASH)
    chunks = list(chat.send_message_stream("a green square"))
    assert [len(images_of(chunk)) for chunk in chunks] == [1]
    assert images_of(chat.send_message("make it yellow"))


def test_streaming(client: genai.Client) -> None:
    config = types.GenerateContentConfig(candidate_count=2)
    chunks = list(client.models.generate_content_stream(model=FLASH, contents="a star", config=config))
    assert [len(images_of(chunk)) for chunk in chunks] == [1, 1]
    assert chunks[-1].usage_metadata is not None


async def test_async(emulator: Server) -> None:
    async with client_of(emulator).aio as client:
        assert images_of(await client.models.generate_content(model=FLASH, contents="a star"))
        stream = await client.models.generate_content_stream(model=FLASH, contents="a star")
        assert [len(images_of(chunk)) async for chunk in stream] == [1]


def test_refusals(client: genai.Client) -> None:
    wrong = types.GenerateContentConfig(image_config=types.ImageConfig(aspect_ratio="7:1"))
    with pytest.raises(errors.ClientError, match="aspectRatio") as refused:
        client.models.generate_content(model=FLASH, contents="x", config=wrong)
    assert (refused.value.code, refused.value.status) == (400, "INVALID_ARGUMENT")
    with pytest.raises(errors.ClientError, match="nope") as refused:
        client.models.generate_content(model="nope", contents="x")
    assert (refused.value.code, refused.value.status) == (404, "NOT_FOUND")
    with pytest.raises(errors.ClientError) as refused:
        list(client.models.generate_content_stream(model=FLASH, contents="x", config=wrong))
    assert refused.value.code == 400


def test_tokens(client: genai.Client) -> None:
    asked = edit("make it blue", picture((255, 0, 0)))
    counted = client.models.count_tokens(model=FLASH, contents=asked)
    assert counted.total_tokens
    reply = client.models.generate_content(model=FLASH, contents=asked)
    assert reply.usage_metadata is not None
    assert reply.usage_metadata.prompt_token_count == counted.total_tokens


def test_models(client: genai.Client) -> None:
    listed = {model.name: model for model in client.models.list(config={"page_size": 20})}
    assert {"models/sketch", "models/nano_banana_pro", "models/imagen"} <= set(listed)
    assert "generateContent" in (listed["models/sketch"].supported_actions or ())
    assert client.models.get(model=FLASH).name == f"models/{FLASH}"


def test_imagen(emulator: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK has this method left only for Vertex AI, whose paths are others."""
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    config = types.GenerateImagesConfig(
        number_of_images=2,
        aspect_ratio="4:3",
        seed=5,
        add_watermark=False,
        negative_prompt="green",
        output_mime_type="image/jpeg",
        output_compression_quality=70,
        person_generation=types.PersonGeneration.ALLOW_ADULT,
    )
    with client_of(emulator, vertexai=True) as client, pytest.warns(match="deprecated"):
        reply = client.models.generate_images(model=IMAGEN, prompt="a red circle", config=config)
    drawn = [one.image for one in reply.generated_images or ()]
    images = [Image.open(io.BytesIO(image.image_bytes or b"")) for image in drawn if image is not None]
    assert [(image.format, image.size) for image in images] == [("JPEG", (1280, 896))] * 2
