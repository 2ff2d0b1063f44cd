"""A Windows Python under Wine, for running the phone as Windows runs it on a machine that has no Windows.

`windows()` is a session: a Windows installation of its own, made within a second or two, in which Python programs, this
source tree among them, run as Windows programs. It and everything started in it end with the block. The recipe that makes the
Windows Python (a folder with a script named winlab) is no part of offhook: it is looked for in $OFFHOOK_WINLAB, else beside
the checkout in ../shared/tools/winlab. What it makes is kept in $OFFHOOK_WINLAB_CACHE, else in ~/.cache/offhook-winlab.

    python -m offhook.testing.windows -m offhook --version      runs a Windows Python with these arguments
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from offhook.testing.peers import PeerFailed, PeerMissing, Process, program

REPOSITORY = Path(__file__).resolve().parents[3]

BUILD_WITHIN = 600.0
"""Seconds for making the Windows Python and fetching its packages, on a slow line; it happens once."""

START_WITHIN = 60.0
"""Seconds a Windows session may take to come up on a busy machine (2 s on an idle one)."""

LINGER = 900
"""Seconds a session outlives a test run that was killed before it could end it."""

TEST_PACKAGES = (
    "pytest", "pytest-asyncio", "pytest-timeout", "pytest-xdist", "hypothesis", "httpx", "sniffio",
    "jsonschema", "openapi-spec-validator", "mcp>=2.3", "aioice>=0.10", "pyOpenSSL>=24.2", "cryptography>=42",
    "numpy<2.1",  # Wine 8's C runtime lacks functions that newer ones call
    "colorama", "pywin32",  # pip decides by this machine's system what pytest and mcp need on Windows
)  # fmt: skip
"""What the tests need, beside what offhook itself needs."""

PROGRAMS = (".dll", ".exe", ".drv", ".sys", ".nls", ".ttf", ".fon", ".tlb", ".ocx")
"""Files of Windows itself that no program writes to."""

NOTHING: Mapping[str, str] = MappingProxyType({})

OURS_ALONE = ("PYTHON", "VIRTUAL_ENV", "DISPLAY", "PYTEST_", "SSL_CERT_")
"""Beginnings of the names that a program in a session does not inherit."""

SITE = "import os, site\nsite.addsitedir(os.path.dirname(os.path.abspath(__file__)))\n"
"""Read at each start: packages such as pywin32 extend the path by files that only a site folder is searched for."""


class Finished(NamedTuple):
    """A program that has ended: its exit code and all it printed, line ends as on this system."""

    code: int
    output: str


class WindowsProcess(Process):
    """A program in a session. What it prints is in `log`, and piece by piece in `text`."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str], folder: Path) -> None:
        # Wine 8 cannot give Python a regular file as standard output: a pipe, which a thread reads.
        super().__init__(command, log, stdout=subprocess.PIPE, stdin=subprocess.PIPE, environment=environment, folder=folder)
        self._lock = threading.Condition()
        self._said = b""
        self._reader = threading.Thread(target=self._read, name="windows-output", daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        """All it has printed so far."""
        return self._said.decode("utf-8", "replace").replace("\r\n", "\n")

    def write(self, text: str) -> None:
        """Type something into it."""
        assert self._child.stdin is not None
        self._child.stdin.write(text.encode())
        self._child.stdin.flush()

    def wait_for(self, text: str, timeout: float = START_WITHIN) -> str:
        """Wait until it has printed a line with this; returns it. PeerFailed if it ends, or time is up, before that."""
        deadline = time.monotonic() + timeout
        with self._lock:
            while (found := self._line(text)) is None:
                left = deadline - time.monotonic()
                if left <= 0 or not self._reader.is_alive():
                    raise self.failed(f"did not print {text!r}")
                self._lock.wait(min(left, 0.5))
        return found

    def _line(self, text: str) -> str | None:
        """Return the first whole line with this in it."""
        *lines, _ = self.text.split("\n")
        return next((line for line in lines if text in line), None)

    def finish(self, timeout: float) -> Finished:
        """Wait for its end; PeerFailed when it is not over in `timeout` seconds."""
        code = self.wait(timeout)
        self._reader.join(5)  # a program it has started may hold the pipe open
        return Finished(code, self.text)

    def stop(self) -> None:
        """End it at once, as TerminateProcess does. Calling it again does nothing."""
        super().stop()
        self._reader.join(5)
        for stream in (self._child.stdin, self._child.stdout):
            if stream is not None and not (stream is self._child.stdout and self._reader.is_alive()):
                with contextlib.suppress(OSError):
                    stream.close()

    def _read(self) -> None:
        assert self._child.stdout is not None
        with self.log.open("ab", buffering=0) as log:
            while piece := os.read(self._child.stdout.fileno(), 65536):
                log.write(piece)
                with self._lock:
                    self._said += piece
                    self._lock.notify_all()


class Windows:
    """A running session. `folder` holds its Windows drive; `home` is a folder for what programs write."""

    def __init__(self, folder: Path, python: Path, packages: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self._python = python
        self._packages = packages
        self._wine = _wine()
        self._running: list[WindowsProcess] = []
        self._count = 0

    @property
    def prefix(self) -> Path:
        """The folder with drive C and the registry."""
        return self.folder / "prefix"

    def environment(self) -> dict[str, str]:
        """Return what a program's environment is."""
        source, packages = windows_path(REPOSITORY / "src"), windows_path(self._packages)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS_ALONE)}
        return inherited | _session(self.prefix) | {
            "PYTHONPATH": f"{source};{packages}", "PYTHONUNBUFFERED": "1",
            "PYTHONIOENCODING": "utf-8",  # for what is read here; files have the encoding that they have on Windows
            # Windows and Linux keep what they compile apart, and none of it lands in the source tree.
            "PYTHONPYCACHEPREFIX": windows_path(cache() / "pycache"),
            "OFFHOOK_HOME": windows_path(self.home),
        }  # fmt: skip

    def start(self, *arguments: str, folder: Path | None = None, environment: Mapping[str, str] = NOTHING) -> WindowsProcess:
        """Start a Windows Python with these arguments; `environment` is added to its environment."""
        return self.start_program(self._python, *arguments, folder=folder, environment=environment)

    def start_program(
        self, program: Path | str, *arguments: str, folder: Path | None = None, environment: Mapping[str, str] = NOTHING
    ) -> WindowsProcess:
        """Start a Windows program, a file or the name of one that Wine brings ("reg", "cmd", "taskkill")."""
        self._count += 1
        process = WindowsProcess(
            [self._wine, str(program), *arguments], self.folder / f"program-{self._count}.log",
            self.environment() | dict(environment), folder or self.home,
        )  # fmt: skip
        self._running.append(process)
        return process

    def run(
        self, *arguments: str, timeout: float = START_WITHIN, folder: Path | None = None,
        environment: Mapping[str, str] = NOTHING,
    ) -> Finished:
        """Run a Windows Python to its end."""
        return self._finish(self.start(*arguments, folder=folder, environment=environment), timeout)

    def run_program(
        self, program: Path | str, *arguments: str, timeout: float = START_WITHIN, environment: Mapping[str, str] = NOTHING
    ) -> Finished:
        """Run a Windows program to its end."""
        return self._finish(self.start_program(program, *arguments, environment=environment), timeout)

    def offhook(
        self, *arguments: str, timeout: float = START_WITHIN, environment: Mapping[str, str] = NOTHING
    ) -> Finished:
        """Run the command line to its end: `offhook("status")`."""
        return self.run("-m", "offhook", *arguments, timeout=timeout, environment=environment)

    def _finish(self, process: WindowsProcess, timeout: float) -> Finished:
        try:
            return process.finish(timeout)
        finally:
            process.stop()
            self._running.remove(process)

    def stop(self) -> None:
        """End all programs of the session, and the session."""
        for process in self._running:
            process.stop()
        self._running.clear()
        _quietly(["wineserver", "-k"], self.prefix)
        _quietly(["wineserver", "-w"], self.prefix)


def windows_path(path: Path | str) -> str:
    """Return how a Windows program in a session names a file of this system."""
    return "Z:" + str(Path(path).absolute()).replace("/", "\\")


@contextlib.contextmanager
def windows() -> Iterator[Windows]:
    """Run a session for the time of the block. PeerMissing says what is not there."""
    python, packages = prepared()
    with _session_folder() as folder:
        session = Windows(folder, python, packages)
        try:
            # Detached and first: the services that come up with the first program must not inherit anybody's pipe.
            _quietly(["wineserver", f"-p{LINGER}"], session.prefix)
            _quietly([_wine(), "cmd", "/c", "exit"], session.prefix)
            yield session
        finally:
            session.stop()


# --- what is made once -----------------------------------------------------------------------------------------------


def cache() -> Path:
    """Return the folder for what is made once."""
    return Path(os.environ.get("OFFHOOK_WINLAB_CACHE") or Path.home() / ".cache" / "offhook-winlab")


def winlab() -> Path:
    """Return the script that makes a Windows Python. PeerMissing if there is none, or if it would miss something."""
    folder = Path(os.environ.get("OFFHOOK_WINLAB") or REPOSITORY.parent / "shared" / "tools" / "winlab")
    script = folder / "winlab"
    if not script.is_file():
        raise PeerMissing("no recipe for a Windows Python: set OFFHOOK_WINLAB to its folder")
    _wine()
    program("x86_64-w64-mingw32-gcc", "gcc-mingw-w64-x86-64")
    program("unzip", "unzip")
    program("python3.11", "python3.11, or make this project's .venv with Python 3.11")
    return script


def prepared() -> tuple[Path, Path]:
    """Return the Windows Python and the folder of its packages, made if they are not there yet."""
    script, folder = winlab(), cache()
    folder.mkdir(parents=True, exist_ok=True)
    python, packages = folder / "py311" / "python.exe", folder / f"packages-{_fingerprint()}"
    with _locked(folder / "build.lock"):
        if not (folder / "built").exists():
            _recipe(["bash", str(script), "build"])
            _recipe(["wineserver", "-k"], check=False)
            (folder / "built").touch()
        if not packages.exists():
            _fetch(packages)
    return python, packages


def requirements() -> list[str]:
    """Return what pip is asked for: offhook's own dependencies and what its tests need."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    return [*project["dependencies"], *TEST_PACKAGES]


def _fingerprint() -> str:
    return hashlib.sha256("\n".join([*requirements(), SITE]).encode()).hexdigest()[:12]


def _fetch(packages: Path) -> None:
    """Put the packages into a new folder, which gets its name when it is complete."""
    with tempfile.TemporaryDirectory(dir=packages.parent, prefix="fetching-") as made:
        _recipe([
            sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", made,
            "--platform", "win_amd64", "--python-version", "311", "--implementation", "cp", "--only-binary=:all:",
            *requirements(),
        ])  # fmt: skip
        (Path(made) / "sitecustomize.py").write_text(SITE, "utf-8")
        os.replace(made, packages)
        Path(made).mkdir()  # for the block to remove


def _recipe(command: Sequence[str], *, check: bool = True) -> None:
    environment = {**os.environ, "WINLAB": str(cache()), "WINEPREFIX": str(cache() / "prefix")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
    try:
        done = subprocess.run(  # noqa: S603 - an argument list, for tests
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True, timeout=BUILD_WITHIN,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise PeerFailed(f"{command[0]}: still runs after {BUILD_WITHIN:g} s") from None
    if check and done.returncode:
        said = done.stdout.decode(errors="replace")[-2000:]
        raise PeerFailed(f"{' '.join(command[:4])}: exit code {done.returncode}\n{said}")


# --- a session's folder ----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _session_folder() -> Iterator[Path]:
    """Yield a new folder with a fresh Windows drive in it; it goes with the block. What killed runs left goes too."""
    sessions = cache() / "sessions"
    sessions.mkdir(exist_ok=True)
    with _locked(sessions / "lock"):
        for old in sessions.glob("*/lock"):
            with contextlib.suppress(BlockingIOError), _locked(old, wait=False):
                _quietly(["wineserver", "-k"], old.parent / "prefix")
                shutil.rmtree(old.parent, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(dir=sessions))
        held = contextlib.ExitStack()
        held.enter_context(_locked(folder / "lock"))
    with held:
        (folder / "home").mkdir()
        shutil.copytree(cache() / "prefix", folder / "prefix", symlinks=True, copy_function=_link_or_copy)
        yield folder
        shutil.rmtree(folder, ignore_errors=True)


def _link_or_copy(source: str, target: str) -> None:
    """Windows' own programs and libraries, 700 MB, need no copy."""
    if "/drive_c/windows/" in source and source.endswith(PROGRAMS):
        os.link(source, target)
    else:
        shutil.copy2(source, target)


@contextlib.contextmanager
def _locked(file: Path, *, wait: bool = True) -> Iterator[None]:
    import fcntl  # not above: a Windows Python reads this file too, when it collects the tests

    with file.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


def _session(prefix: Path) -> dict[str, str]:
    return {"WINEPREFIX": str(prefix), "WINEARCH": "win64", "WINEDEBUG": "-all", "WINEDLLOVERRIDES": "mscoree,mshtml="}


def _quietly(command: Sequence[str], prefix: Path) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(  # noqa: S603 - an argument list, for tests
            command, env={**os.environ, **_session(prefix)}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True, timeout=START_WITHIN, check=False,
        )  # fmt: skip


def _wine() -> str:
    return program("wine64", "wine wine64") if shutil.which("wine64") else program("wine", "wine wine64")


def main(arguments: Sequence[str], show: Callable[[str], object] = sys.stdout.write) -> int:
    """Run a Windows Python with these arguments in the folder one is in, and show what it prints.

    `--within SECONDS` before them ends it then. Exit code 0 and a reason where there can be no Windows Python, except that
    with OFFHOOK_REQUIRE_PEERS=1 that is a failure.
    """
    limit = float("inf")
    if arguments[:1] == ["--within"]:
        limit, arguments = time.monotonic() + float(arguments[1]), arguments[2:]
    try:
        with windows() as session:
            return _shown(session.start(*arguments, folder=Path.cwd(), environment={"PYTHONUTF8": "1"}), limit, show)
    except PeerMissing as missing:
        show(f"skipped: {missing}\n")
        return int(os.environ.get("OFFHOOK_REQUIRE_PEERS") == "1")


def _shown(process: WindowsProcess, limit: float, show: Callable[[str], object]) -> int:
    shown = 0
    while True:
        over = not process.alive()
        if over:
            process.finish(START_WITHIN)
        text = process.text
        show(text[shown:])
        sys.stdout.flush()
        shown = len(text)
        if over:
            return process.wait(0)
        if time.monotonic() > limit:
            show("\nnot done in time; it was ended\n")
            return 1
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
