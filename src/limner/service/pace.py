"""How long work takes here: what the queue's estimates, its fairness and reservations of credits rest on.

Owns two moving averages and nothing else: seconds between completions, and device seconds per unit of work by model.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from limner.core import Request

FIRST_GUESS_S = 0.05  # device seconds of a unit while a model has drawn nothing yet
UNIT_PIXELS = 256 * 256
USUAL_STEPS = 20
WEIGHT = 0.2  # of the newest observation


def units(request: Request) -> float:
    """Work in a resolved request: steps x pictures x area in units of 256 x 256 pixels, inputs read once."""
    assert request.size is not None, "sizes are settled before work is counted"
    steps = request.params.get("num_inference_steps")
    count = steps if isinstance(steps, int) and not isinstance(steps, bool) else USUAL_STEPS
    return max(count, 1) * request.n * request.size.pixels / UNIT_PIXELS


@dataclass(slots=True)
class Pace:
    """Moving averages; times are monotonic seconds."""

    seconds_per_job: float = 1.0
    _last_end_s: float | None = None
    _device_s_per_unit: dict[str, float] = field(default_factory=dict)

    def ended(self, started_s: float, now_s: float) -> None:
        """A job that started at ``started_s`` ended at ``now_s``."""
        since_s = max(started_s, self._last_end_s or started_s)
        self._last_end_s = now_s
        self.seconds_per_job += WEIGHT * (max(now_s - since_s, 0.001) - self.seconds_per_job)

    def used(self, request: Request, device_s: float) -> None:
        """A job of ``request`` took this much device time."""
        rate = device_s / units(request)
        known = self._device_s_per_unit.get(request.model)
        self._device_s_per_unit[request.model] = rate if known is None else known + WEIGHT * (rate - known)

    def learn(self, past: Iterable[tuple[Request, float]]) -> None:
        """Take over what earlier processes saw, oldest first."""
        for request, device_s in past:
            self.used(request, device_s)

    def knows(self, model: str) -> bool:
        """Whether a job of ``model`` has been measured."""
        return model in self._device_s_per_unit

    def device_s(self, request: Request) -> float:
        """The device time that ``request`` will probably take."""
        return units(request) * self._device_s_per_unit.get(request.model, FIRST_GUESS_S)

    def wait_s(self, position: int) -> float:
        """Seconds until the job that has ``position`` others before it is done."""
        return (position + 1) * self.seconds_per_job

    def retry_after_s(self) -> float:
        """When one place in a full queue will probably be free."""
        return float(min(max(round(self.seconds_per_job), 1), 60))
