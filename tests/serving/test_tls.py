"""The encrypted gRPC port, with a certificate that openssl makes for the test."""

import json
import shutil
import subprocess
from pathlib import Path

import grpc
import pytest
from typer.testing import CliRunner

from tfrec.recommend import app
from tfrec.serving.client import Client, ServingError
from tfrec.serving.config import ModelConfig
from tfrec.serving.errors import StartError
from tfrec.serving.server import Server
from tfrec.serving.tls import read_ssl_config_file

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")


def make_certificate(folder: Path) -> tuple[str, str]:
    """A key of its own, and a certificate for 127.0.0.1 that it signs itself."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    subprocess.run(
        ["openssl", *arguments.split(), "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    return key.read_text(), certificate.read_text()


def write_config(folder: Path, **fields: object) -> Path:
    path = folder / "ssl.config"
    path.write_text("\n".join(f"{name}: {json.dumps(value)}" for name, value in fields.items()))
    return path


def ask(server: Server, credentials: grpc.ChannelCredentials | None) -> int:
    """Waits for the model's version."""
    with Client(f"127.0.0.1:{server.grpc_port}", "adder", timeout=5, credentials=credentials) as client:
        return client.wait_until_available(5)


def is_refused(server: Server, credentials: grpc.ChannelCredentials | None) -> bool:
    client = Client(f"127.0.0.1:{server.grpc_port}", "adder", timeout=2, credentials=credentials)
    with client, pytest.raises(ServingError) as caught:
        client.metadata()
    return caught.value.code is grpc.StatusCode.UNAVAILABLE


@needs_openssl
def test_only_who_knows_the_certificate_is_answered(exports: Path, tmp_path: Path) -> None:
    key, certificate = make_certificate(tmp_path)
    credentials = read_ssl_config_file(write_config(tmp_path, server_key=key, server_cert=certificate))
    with Server([ModelConfig("adder", exports / "adder")], grpc_port=0, credentials=credentials) as server:
        assert ask(server, grpc.ssl_channel_credentials(certificate.encode())) == 2
        assert is_refused(server, None)
        (tmp_path / "other").mkdir()
        _, other = make_certificate(tmp_path / "other")
        assert is_refused(server, grpc.ssl_channel_credentials(other.encode()))


@needs_openssl
def test_clients_are_verified(exports: Path, tmp_path: Path) -> None:
    key, certificate = make_certificate(tmp_path)
    config = write_config(tmp_path, server_key=key, server_cert=certificate, custom_ca=certificate, client_verify=True)
    models = [ModelConfig("adder", exports / "adder")]
    with Server(models, grpc_port=0, credentials=read_ssl_config_file(config)) as server:
        both = grpc.ssl_channel_credentials(certificate.encode(), key.encode(), certificate.encode())
        assert ask(server, both) == 2
        assert is_refused(server, grpc.ssl_channel_credentials(certificate.encode()))


@needs_openssl
def test_the_command_line_asks_an_encrypted_server(exports: Path, tmp_path: Path) -> None:
    key, certificate = make_certificate(tmp_path)
    credentials = read_ssl_config_file(write_config(tmp_path, server_key=key, server_cert=certificate))
    with Server([ModelConfig("movies", exports / "movies")], grpc_port=0, credentials=credentials) as server:
        command = ["--model", "movies", "--server", f"127.0.0.1:{server.grpc_port}", "--history", "a", "--json"]
        trusting = ["--certificate", str(tmp_path / "certificate.pem")]
        answer = CliRunner().invoke(app, [*command, *trusting, "--wait", "20"])
        assert answer.exit_code == 0
        assert json.loads(answer.stdout)[0]["item_id"] == "a"  # The model gives the history back.
        assert CliRunner().invoke(app, [*command, "--timeout", "2"]).exit_code == 2


@pytest.mark.parametrize("name", ["nothing.pem", "key.pem"])
def test_a_file_without_a_certificate_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("-----BEGIN PRIVATE KEY-----")
    answer = CliRunner().invoke(app, ["--model", "movies", "--certificate", str(tmp_path / name)])
    assert answer.exit_code == 2
    assert "Expected a certificate in PEM format as --certificate" in " ".join(answer.output.split())


PEM = "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "Expected a server_key in PEM format"),
        ({"server_key": PEM, "server_cert": "server.pem"}, "Expected a server_cert in PEM format"),
        ({"server_key": PEM, "server_cert": PEM, "client_verify": True}, "Expected a custom_ca in"),
        ({"key": PEM}, "Expected a SSLConfig in text format"),
    ],
)
def test_wrong_files(tmp_path: Path, fields: dict[str, object], message: str) -> None:
    with pytest.raises(StartError, match=message):
        read_ssl_config_file(write_config(tmp_path, **fields))


def test_a_certificate_that_is_none_is_named_at_the_start(tmp_path: Path) -> None:
    credentials = read_ssl_config_file(write_config(tmp_path, server_key=PEM, server_cert=PEM))
    with pytest.raises(StartError, match="--ssl_config_file"):
        Server([ModelConfig("adder", tmp_path)], grpc_port=0, credentials=credentials).start()
