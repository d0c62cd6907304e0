"""How long work takes here: what the queue's estimates, its fairness and reservations of credits rest on.

Owns seconds between completions, and by model what a job of some size takes.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from limner.core import Request

FIRST_GUESS_S = 0.05  # device seconds of a unit while a model has drawn nothing yet
UNIT_PIXELS = 256 * 256
USUAL_STEPS = 20
WEIGHT = 0.2  # of the newest observation
REMEMBERED = 50  # jobs of a model


def units(request: Request) -> float:
    """Work in a resolved request: steps x pictures x area in units of 256 x 256 pixels, inputs read once."""
    assert request.size is not None, "sizes are settled before work is counted"
    steps = request.params.get("num_inference_steps")
    count = steps if isinstance(steps, int) and not isinstance(steps, bool) else USUAL_STEPS
    return max(count, 1) * request.n * request.size.pixels / UNIT_PIXELS


@dataclass(slots=True)
class DeviceTime:
    """Device seconds of one model's jobs, as a fixed part a picture and a part for each unit of work: least squares
    over the last jobs, neither part negative."""

    _seen: deque[tuple[float, float, float]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _parts: tuple[float, float] | None = None  # of what has been seen; None: to be found

    def add(self, request: Request, device_s: float) -> None:
        """A job took ``device_s``."""
        self._seen.append((float(request.n), units(request), device_s))
        self._parts = None

    def of(self, request: Request) -> float:
        """What a job of ``request`` will probably take."""
        if self._parts is None:
            self._parts = self._fit()
        fixed_s, unit_s = self._parts
        return fixed_s * request.n + unit_s * units(request)

    def _fit(self) -> tuple[float, float]:
        nn = nu = uu = nt = ut = 0.0
        for n, u, t in self._seen:
            nn, nu, uu, nt, ut = nn + n * n, nu + n * u, uu + u * u, nt + n * t, ut + u * t
        determinant = nn * uu - nu * nu
        if determinant > 1e-6 * nn * uu:
            fixed_s, unit_s = (nt * uu - ut * nu) / determinant, (ut * nn - nt * nu) / determinant
            if fixed_s >= 0 and unit_s >= 0:
                return fixed_s, unit_s
        return 0.0, ut / uu


@dataclass(slots=True)
class Pace:
    """Moving averages; times are monotonic seconds."""

    seconds_per_job: float = 1.0
    _last_end_s: float | None = None
    _device_times: dict[str, DeviceTime] = field(default_factory=dict)

    def ended(self, started_s: float, now_s: float) -> None:
        """A job that started at ``started_s`` ended at ``now_s``."""
        since_s = max(started_s, self._last_end_s or started_s)
        self._last_end_s = now_s
        self.seconds_per_job += WEIGHT * (max(now_s - since_s, 0.001) - self.seconds_per_job)

    def used(self, request: Request, device_s: float) -> None:
        """A job of ``request`` took this much device time."""
        self._device_times.setdefault(request.model, DeviceTime()).add(request, device_s)

    def learn(self, past: Iterable[tuple[Request, float]]) -> None:
        """Take over what earlier processes saw, oldest first."""
        for request, device_s in past:
            self.used(request, device_s)

    def knows(self, model: str) -> bool:
        """Whether a job of ``model`` has been measured."""
        return model in self._device_times

    def device_s(self, request: Request) -> float:
        """The device time that ``request`` will probably take."""
        known = self._device_times.get(request.model)
        return units(request) * FIRST_GUESS_S if known is None else known.of(request)

    def eta_s(self, request: Request, position: int) -> float:
        """Seconds until ``request`` is done with ``position`` jobs before it. Its pictures may be drawn side by side,
        but none faster than alone."""
        return position * self.seconds_per_job + max(self.seconds_per_job, self.device_s(request) / request.n)

    def retry_after_s(self) -> float:
        """When one place in a full queue will probably be free."""
        return float(min(max(round(self.seconds_per_job), 1), 60))
