"""Finished jobs as Google's clients read them: candidates with inline pictures, predictions, tokens.

Owns those shapes, and how a refusal on grounds of policy looks in them, which is no error there.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson

from limner.api.calls import Call
from limner.api.chat.replies import Answer, Telling, told
from limner.api.drawing import in_their_words
from limner.api.embedding import Embedded, embedded
from limner.api.gemini.errors import error_body
from limner.api.replies import spoken_tokens, usage
from limner.core import Words
from limner.errors import LimnerError, NotFound, PolicyDeclined
from limner.jobs import Job, Outcome, StoredPicture
from limner.media.encode import media_type


def token_counts(job: Job, outcome: Outcome | None = None) -> dict[str, Any]:
    """``usageMetadata``: what a model that spoke has counted, otherwise as the images API counts."""
    counted = usage(job)
    if outcome is not None and outcome.text is not None:
        read, written = spoken_tokens(job, outcome)
        return {
            "promptTokenCount": sum(read.values()),
            "candidatesTokenCount": written,
            "totalTokenCount": sum(read.values()) + written,
            "promptTokensDetails": by_modality(read),
            "candidatesTokensDetails": by_modality({"text_tokens": written}),
        }
    return {
        "promptTokenCount": counted["input_tokens"],
        "candidatesTokenCount": counted["output_tokens"],
        "totalTokenCount": counted["total_tokens"],
        "promptTokensDetails": by_modality(counted["input_tokens_details"]),
        "candidatesTokensDetails": by_modality({"image_tokens": counted["output_tokens"]}),
    }


def by_modality(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """``{"text_tokens": 7}`` as Google lists it."""
    kinds = {name.removesuffix("_tokens").upper(): count for name, count in counts.items()}
    return [{"modality": kind, "tokenCount": count} for kind, count in kinds.items() if count]


def said(answer: Answer) -> bytes:
    """The reply in words for which nothing was run."""
    used = answer.usage
    counts = {"promptTokenCount": used["prompt_tokens"], "candidatesTokenCount": used["completion_tokens"]}
    return orjson.dumps(
        {
            "candidates": [_spoken(answer.text)],
            "usageMetadata": {**counts, "totalTokenCount": used["total_tokens"]},
            "modelVersion": answer.head.model,
            "responseId": answer.head.id,
            "limner": answer.limner,
        }
    )


async def generation(call: Call, telling: Telling) -> bytes:
    """The whole reply of ``generateContent``. Raises the job's error, and NotFound once the pictures are gone."""
    try:
        outcome = await call.outcome()
    except PolicyDeclined as error:
        return orjson.dumps(_declined(call.job, error))
    if outcome.text is not None:
        return orjson.dumps({"candidates": [_spoken(outcome.text)], **_tail(call.job, outcome, telling)})
    files = await _files(call, outcome)
    candidates = [_candidate(files, index, picture) for index, picture in enumerate(outcome.pictures)]
    return files.in_json({"candidates": candidates, **_tail(call.job, outcome, telling)})


async def chunks(call: Call, telling: Telling) -> AsyncIterator[bytes | None]:
    """The objects of ``streamGenerateContent``: one a picture, tokens with the last; an error is the last one. None
    says that nothing has happened for a while."""
    spoken = 0
    try:
        async for event in call.events():
            match event:
                case None:
                    yield None
                case Words(text):
                    spoken += len(text)
                    yield orjson.dumps({"candidates": [_spoken(text, None)], **_head(call.job)})
                case Outcome(text=str(text)):
                    rest = "" if spoken else text  # it may ask back, which comes at once
                    yield orjson.dumps({"candidates": [_spoken(rest)], **_tail(call.job, event, telling)})
                case Outcome():
                    async for chunk in _pictures(call, event, telling):
                        yield chunk
                case _:
                    pass
    except PolicyDeclined as error:
        yield orjson.dumps(_declined(call.job, error))
    except LimnerError as error:
        in_their_words(error, telling.names)
        yield orjson.dumps(error_body(error))


async def prediction(call: Call, telling: Telling) -> bytes:
    """The reply of ``predict``. Raises as `generation` does."""
    try:
        outcome = await call.outcome()
    except PolicyDeclined as error:
        return orjson.dumps({"predictions": [{"raiFilteredReason": error.message}]})
    files = await _files(call, outcome)
    predictions = [
        {"mimeType": media_type(picture.format), "bytesBase64Encoded": files.text(index)}
        for index, picture in enumerate(outcome.pictures)
    ]
    return files.in_json({"predictions": predictions, "limner": told(call.job, outcome, telling)})


async def _pictures(call: Call, outcome: Outcome, telling: Telling) -> AsyncIterator[bytes]:
    files = await _files(call, outcome)
    last = len(outcome.pictures) - 1
    for index, picture in enumerate(outcome.pictures):
        tail = _tail(call.job, outcome, telling) if index == last else _head(call.job)
        yield files.in_json({"candidates": [_candidate(files, index, picture)], **tail})


async def _files(call: Call, outcome: Outcome) -> Embedded:
    if not outcome.pictures:
        raise NotFound(f"the pictures of {call.job.id} are no longer kept")
    return await embedded(call.gateway.service, outcome.pictures)


def _candidate(files: Embedded, index: int, picture: StoredPicture) -> dict[str, Any]:
    data = {"mimeType": media_type(picture.format), "data": files.text(index)}
    content = {"role": "model", "parts": [{"inlineData": data}]}
    return {"content": content, "finishReason": "STOP", "index": index}


def _spoken(text: str, finish: str | None = "STOP") -> dict[str, Any]:
    content = {"role": "model", "parts": [{"text": text}]}
    return {"content": content, **({} if finish is None else {"finishReason": finish}), "index": 0}


def _declined(job: Job, error: PolicyDeclined) -> dict[str, Any]:
    """What is declined for its words is a blocked prompt, anything else a picture that does not come."""
    prompt = usage(job)["input_tokens"]
    counts = {"promptTokenCount": prompt, "candidatesTokenCount": 0, "totalTokenCount": prompt}
    tail = {"usageMetadata": counts, **_head(job)}
    if error.param == "prompt":
        reason = {"blockReason": "PROHIBITED_CONTENT", "blockReasonMessage": error.message}
        return {"promptFeedback": reason, **tail}
    return {"candidates": [{"finishReason": "IMAGE_SAFETY", "finishMessage": error.message, "index": 0}], **tail}


def _head(job: Job) -> dict[str, Any]:
    return {"modelVersion": job.model, "responseId": job.id}


def _tail(job: Job, outcome: Outcome, telling: Telling) -> dict[str, Any]:
    return {"usageMetadata": token_counts(job, outcome), **_head(job), "limner": told(job, outcome, telling)}
