"""The exit codes, which scripts rely on: numbers here never change their meaning."""

from enum import IntEnum

from limner.errors import LimnerError


class ExitCode(IntEnum):
    """How a command ended."""

    OK = 0
    FAILED = 1
    INVALID = 2
    UNREACHABLE = 3
    OVERLOADED = 4
    TIMED_OUT = 5
    REFUSED = 6
    INTERRUPTED = 130


MEANINGS: dict[ExitCode, str] = {
    ExitCode.OK: "done",
    ExitCode.FAILED: "an unexpected failure, here or in the server",
    ExitCode.INVALID: "wrong usage, or a request that cannot be met as it is (statuses 400, 404, 409, 413, 415, 422)",
    ExitCode.UNREACHABLE: "the server cannot be reached or is not ready (503); `serve` cannot listen or load a model",
    ExitCode.OVERLOADED: "too much is queued or asked for; try again later (429)",
    ExitCode.TIMED_OUT: "ran past its deadline (408, 504)",
    ExitCode.REFUSED: "key missing or wrong, no credits, or not allowed (401, 402, 403)",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C), or the job was cancelled (499)",
}


def exit_code_of(error: LimnerError) -> ExitCode:
    """The exit code for an error, by its status."""
    match error.status:
        case 401 | 402 | 403:
            return ExitCode.REFUSED
        case 408 | 504:
            return ExitCode.TIMED_OUT
        case 429:
            return ExitCode.OVERLOADED
        case 503:
            return ExitCode.UNREACHABLE
        case 499:
            return ExitCode.INTERRUPTED
        case status if 400 <= status < 500:
            return ExitCode.INVALID
        case _:
            return ExitCode.FAILED
