"""Child processes that cannot outlive us, and the ports and folders they need.

`miroir dev` and the test suite start real servers. Both promise to leave nothing behind, also when they are killed
themselves and no `finally` runs: so each child asks the kernel to be killed when its parent goes (`leashed`), and the
folders carry the pid of their owner, so that the next run can sweep what a killed one could not.
"""

from __future__ import annotations

import abc
import contextlib
import fcntl
import http.client
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - memory-backed: a node's commits are about ten times faster there
_SHARED_MEMORY_WANTED_BYTES = 2 << 30
# Below the range from which the kernel takes local ports of outgoing connections, which would race with ours.
_PORTS = range(15_000, 30_000)
_LOG_TAIL_BYTES = 4000
_POLL_S = 0.02

# PR_SET_PDEATHSIG is 1. It is set by a tiny launcher, not by `preexec_fn`, which is unsafe once there are threads. The
# parent may have died before the call: then nobody would send the signal, hence the look at getppid.
_LAUNCHER = (
    "import ctypes,os,sys;"
    "ctypes.CDLL(None).prctl(1,int(sys.argv[1]));"
    "os.getppid()==int(sys.argv[2]) or os._exit(1);"
    "os.execv(sys.argv[3],sys.argv[3:])"
)


class StartError(Exception):
    """A child did not come up. The text says why and ends with the last lines of its log."""


def leashed(command: Sequence[str]) -> list[str]:
    """`command` (its first word a path), to be killed by the kernel when the thread that starts it is gone.

    The kernel watches the *thread*: start such a command from the main thread only.
    """
    return [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(int(signal.SIGKILL)), str(os.getpid()), *command]


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


_handed_out: set[int] = set()


def free_port() -> int:
    """A loopback port nobody listens on, and that no process of this user which asks here has while it lives."""
    for port in random.SystemRandom().sample(_PORTS, k=1000):
        if port not in _handed_out and port_is_free(port) and _reserve(port):
            _handed_out.add(port)
            return port
    raise StartError("no free port found on 127.0.0.1")


def _reserve(port: int) -> bool:
    """Whether this process has the port for itself from now on.

    Between the choice of a port and a server that listens there lie seconds, in which another process finds it free. So
    every port is a byte of one file, which is locked here; the kernel unlocks it when the process ends.
    """
    try:
        fcntl.lockf(_reservations(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except BlockingIOError:
        return False
    return True


@cache
def _reservations() -> int:
    """The descriptor of that file. It stays open: closing it would give back every port."""
    path = Path(tempfile.gettempdir(), f"miroir-ports-{os.getuid()}")
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StartError(f"cannot use {path}, where ports are reserved: {error.strerror}") from error


def scratch_directory(prefix: str) -> Path:
    """A new empty folder for data that may be lost, in memory when there is room; the caller removes it.

    Folders of the same prefix whose owner is no longer alive are removed on the way.
    """
    root = _scratch_root()
    for stale in root.glob(f"{prefix}-*"):
        owner = stale.name.removeprefix(f"{prefix}-").partition("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists() and stale.stat().st_uid == os.getuid():
            shutil.rmtree(stale, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{prefix}-{os.getpid()}-", dir=root))


def _scratch_root() -> Path:
    with contextlib.suppress(OSError):
        if os.access(_SHARED_MEMORY, os.W_OK) and shutil.disk_usage(_SHARED_MEMORY).free >= _SHARED_MEMORY_WANTED_BYTES:
            return _SHARED_MEMORY
    return Path(tempfile.gettempdir())


class Child(abc.ABC):
    """One leashed HTTP server on loopback with its output in a file; can be started again after it ended.

    `serving_path` answers 200 once the server does its work.
    """

    def __init__(self, name: str, *, log: Path, port: int, serving_path: str) -> None:
        self.name = name
        self.log = log
        self.port = port
        self.serving_path = serving_path
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process id of the running child. Raises `StartError` when it never was started."""
        if self._process is None:
            raise StartError(f"{self.name} was not started")
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit status, negative for a signal; None while running or before the start."""
        return None if self._process is None else self._process.poll()

    @abc.abstractmethod
    def start(self) -> None:
        """Start the process and return at once; `wait_serving` says when it serves. From the main thread only."""

    def spawn(self, command: Sequence[str], environment: Mapping[str, str], directory: Path | None = None) -> None:
        """Start `command`. Returns at once: whether it works is for the caller to find out."""
        if threading.current_thread() is not threading.main_thread():
            raise StartError(f"{self.name} must be started from the main thread: it would die with this one")
        if self.running:
            raise StartError(f"{self.name} is running already")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self._process = self._popen(command, environment, directory, output)

    def _popen(
        self, command: Sequence[str], environment: Mapping[str, str], directory: Path | None, output: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        # A session of its own: the terminal's Ctrl-C is for us, who take the children down in order.
        return subprocess.Popen(
            leashed(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=directory,
            start_new_session=True,
        )

    def send_signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end, at most so long; whether it ended."""
        if self._process is None:
            return True
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone. Works on a stopped (SIGSTOP) child too."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def terminate(self) -> None:
        """SIGTERM, also to a stopped (SIGSTOP) child. Does not wait."""
        self.send_signal(signal.SIGCONT)
        self.send_signal(signal.SIGTERM)

    def stop(self, timeout_s: float = 10.0) -> None:
        """SIGTERM; after `timeout_s` SIGKILL. Gone when this returns."""
        self.terminate()
        if not self.wait(timeout_s):
            self.kill()

    def serving(self, timeout_s: float = 2.0) -> bool:
        """Whether it runs and answers `GET serving_path` with 200 within `timeout_s`."""
        if not self.running:
            return False
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            connection.request("GET", self.serving_path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def wait_serving(self, timeout_s: float = 30.0) -> None:
        """Return once it serves. Raises `StartError` when it ended or `timeout_s` passed."""
        deadline = time.monotonic() + timeout_s
        while not self.serving():
            if not self.running:
                raise StartError(f"{self.name} ended with status {self.returncode}:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise StartError(f"{self.name} did not serve within {timeout_s:g} s:\n{self.log_tail()}")
            time.sleep(_POLL_S)

    def log_tail(self) -> str:
        """The last lines it wrote, for error texts."""
        try:
            with self.log.open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - _LOG_TAIL_BYTES))
                return file.read().decode("utf-8", "replace").strip()
        except OSError:
            return ""
