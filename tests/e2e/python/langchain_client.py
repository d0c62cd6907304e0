"""Drives a running server with LangChain's DALL-E wrapper; prints what it saw as one JSON line. Run with the clients'
own interpreter.

usage: python langchain_client.py SERVER
"""

import json
import sys
import warnings
from typing import Any

warnings.filterwarnings("ignore", category=DeprecationWarning)  # the package says that it is no longer developed

from langchain_community.utilities.dalle_image_generator import DallEAPIWrapper
from langchain_openai import ChatOpenAI

API = f"{sys.argv[1]}/v1"


def links(**options: Any) -> list[str]:
    wrapper = DallEAPIWrapper(base_url=API, api_key="unused", separator="|", **options)
    joined: str = wrapper.run("a red circle")
    return joined.split("|")


chat = ChatOpenAI(model="sketch", base_url=API, api_key="unused")
seen = {
    "dall-e-2": links(),
    "dall-e-3": links(model="dall-e-3", quality="hd"),
    "two": links(model="sketch", n=2, size="256x256", default_query={"response_format": "url"}),
    "chat": chat.invoke("a red circle").content,
}
try:
    links(model="dall-e-3", size="1x1")
except Exception as error:
    seen["error"] = [type(error).__name__, str(error)]
print(json.dumps(seen))
