"""What limner is compared with: the server a competent person writes around a pipeline in an afternoon.

FastAPI, a lock around the pipeline, the pipeline in a thread of its own, Pillow's PNG, base64, a JSON reply.
"""

import argparse
import asyncio
import base64
import io
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from PIL import Image
from pydantic import BaseModel

from benchmarks.drawings import Drawing
from benchmarks.pipeline import Pipeline


class Generation(BaseModel):
    """The request body."""

    prompt: str
    seed: int = 0
    size: str = "256x256"
    num_inference_steps: int
    guidance_scale: float

    def drawing(self) -> Drawing:
        """As the pipeline takes it."""
        width, height = map(int, self.size.split("x"))
        return Drawing(self.prompt, self.seed, width, height, self.num_inference_steps, self.guidance_scale)


def create_app(threads: int) -> FastAPI:
    """The whole server."""
    executor = ThreadPoolExecutor(1)  # always the same thread, so that torch keeps one pool of workers
    lock = asyncio.Lock()
    loaded: list[Pipeline] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        loaded.append(await asyncio.get_running_loop().run_in_executor(executor, Pipeline, threads))
        yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/health")
    async def health() -> JSONResponse:
        return JSONResponse({"status": "ok"})

    @app.post("/v1/images/generations")
    async def generations(generation: Generation) -> JSONResponse:
        async with lock:
            image = await asyncio.get_running_loop().run_in_executor(executor, loaded[0].draw, generation.drawing())
        picture = await asyncio.to_thread(encode, image)
        return JSONResponse({"created": int(time.time()), "data": [{"b64_json": picture}]})

    return app


def encode(image: Image.Image) -> str:
    """PNG in base64."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def main() -> None:
    """Serve on a local port."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    uvicorn.run(create_app(options.threads), host="127.0.0.1", port=options.port, log_level="warning")


if __name__ == "__main__":
    main()
