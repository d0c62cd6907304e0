"""The pipeline in a process of its own, driven over a pipe: one JSON drawing a line in, one JSON result a line out.

Only the call and the encoding are timed, inside the process; the pipe costs the measured value nothing.
"""

import argparse
import sys
import time
from dataclasses import dataclass

import orjson
import pybase64
from fpng import fpng_ext

from benchmarks.drawings import Drawing


@dataclass(frozen=True, slots=True)
class BareResult:
    """Seconds in the pipeline's call, seconds for PNG and base64, and the picture's RGB bytes in base64."""

    call_s: float
    encode_s: float
    rgb_base64: str

    @property
    def total_s(self) -> float:
        """What a caller in the same process waits for."""
        return self.call_s + self.encode_s


def main() -> None:
    """Serve lines until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=0)
    replies = sys.stdout.buffer
    sys.stdout = sys.stderr  # whatever a library prints must not end up among the replies
    from benchmarks.pipeline import Pipeline

    pipeline = Pipeline(parser.parse_args().threads, fits_text=True)
    replies.write(b"ready\n")
    replies.flush()
    for line in sys.stdin.buffer:
        started_s = time.perf_counter()
        image = pipeline.draw(Drawing(**orjson.loads(line)))
        drawn_s = time.perf_counter()
        rgb = image.tobytes()
        pybase64.b64encode(bytes(fpng_ext.encode_image_to_memory(rgb, image.width, image.height, 3)))
        encoded_s = time.perf_counter()
        result = BareResult(drawn_s - started_s, encoded_s - drawn_s, pybase64.b64encode_as_string(rgb))
        replies.write(orjson.dumps(result) + b"\n")
        replies.flush()


if __name__ == "__main__":
    main()
