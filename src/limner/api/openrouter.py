"""OpenRouter's image API: ``POST /api/v1/images``, whole or as a stream."""

import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from limner.api import openrouter_docs
from limner.api.asking import read_object
from limner.api.calls import Call, Wire, conduct
from limner.api.chat_messages import Shown, url_of
from limner.api.chat_pictures import in_order
from limner.api.chat_replies import DONE, Telling, chat_usage, told
from limner.api.composing import Brief, model_for, to_request
from limner.api.drawing import in_their_words, settle
from limner.api.embedding import Embedded, embedded
from limner.api.envelope import error_body
from limner.api.gateway import gateway_of
from limner.api.openai_fields import flatten
from limner.api.validation import checked_fields
from limner.catalogue.images import PLAIN
from limner.core import Preview, Progress, Request, Warning
from limner.errors import LimnerError, MissingParameter, NotFound
from limner.jobs import Job, Outcome
from limner.media.encode import media_type
from limner.store.rows import MICRO
