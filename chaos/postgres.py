"""A private PostgreSQL cluster in a temporary directory, with the binaries of the distribution's package.

Owns finding the binaries, initdb, starting and stopping; listens on 127.0.0.1 alone, with a password. PostgreSQL
refuses to run as root: there it runs as the package's user ``postgres``.
"""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from chaos import processes

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
SUPERUSER = "postgres"


class NoPostgres(Exception):
    """There are no binaries, or the cluster did not start; the message says which."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster."""

    port: int
    password: str = field(repr=False)
    binaries: Path

    def url(self, database: str = SUPERUSER) -> str:
        """The URL that limner takes."""
        return f"postgresql://{SUPERUSER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def execute(self, sql: str) -> str:
        """Run SQL as the superuser outside of a transaction and give what psql printed."""
        argv = [str(self.binaries / "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", sql, self.url()]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout

    def create_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"limner_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)


def find_binaries() -> Path | None:
    """The directory of initdb and postgres, of the newest version where there are several; None without any."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return None if on_path is None else Path(on_path).resolve().parent


@contextmanager
def postgres(*, fsync: bool = False) -> Iterator[Cluster]:
    """A new cluster, removed on leaving. Without ``fsync`` it is quicker, and safe as long as the machine runs.

    Raises NoPostgres.
    """
    binaries = find_binaries()
    if binaries is None:
        raise NoPostgres("no PostgreSQL here: install the package postgresql, its service need not run")
    directory = Path(tempfile.mkdtemp(prefix="limner-postgres-"))
    try:
        cluster = Cluster(processes.free_port(), secrets.token_hex(16), binaries)
        _initialise(cluster, directory)
        with _running(cluster, directory, fsync=fsync):
            yield cluster
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _user() -> str | None:
    return SUPERUSER if os.geteuid() == 0 else None


def _initialise(cluster: Cluster, directory: Path) -> None:
    password_file = directory / "password"
    password_file.write_text(cluster.password, encoding="ascii")
    password_file.chmod(0o600)
    user = _user()
    if user is not None:
        for path in (directory, password_file):
            shutil.chown(path, user, user)
    argv = [
        str(cluster.binaries / "initdb"), "-D", str(directory / "data"), "-U", SUPERUSER, "-E", "UTF8",
        "--locale=C", "-A", "scram-sha-256", f"--pwfile={password_file}", "--no-sync",
    ]  # fmt: skip
    ran = subprocess.run(argv, capture_output=True, text=True, user=user, group=user, cwd=directory)
    if ran.returncode != 0:
        raise NoPostgres(f"initdb failed: {ran.stderr.strip() or ran.stdout.strip()}")


@contextmanager
def _running(cluster: Cluster, directory: Path, *, fsync: bool) -> Iterator[None]:
    argv = [
        str(cluster.binaries / "postgres"), "-D", str(directory / "data"), "-p", str(cluster.port), "-h", "127.0.0.1",
        "-k", str(directory), "-c", f"fsync={'on' if fsync else 'off'}", "-c", "max_connections=100",
        "-c", "shared_buffers=32MB",
    ]  # fmt: skip
    with (directory / "log").open("w+b") as log:
        process = processes.start(argv, log=log, user=_user())
        try:
            _until_ready(cluster, process, directory / "log")
            yield
        finally:
            processes.kill(process, signal.SIGINT)  # "fast": open transactions are rolled back
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                processes.kill(process)


def _until_ready(cluster: Cluster, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s and process.poll() is None:
        try:
            cluster.execute("SELECT 1")
        except subprocess.CalledProcessError:
            time.sleep(0.05)
        else:
            return
    raise NoPostgres(f"PostgreSQL did not start: {log.read_text(errors='replace')[-2000:]}")
