"""Encryption of the gRPC port."""

from pathlib import Path

import grpc

from tfrec.serving.errors import StartError
from tfrec.serving.text_protos import read_text_proto


def read_ssl_config_file(path: Path) -> grpc.ServerCredentials:
    """The credentials of an SSLConfig in text format, TensorFlow Serving's `--ssl_config_file`.

    Raises:
        StartError: The file cannot be read or parsed, or a part of it is missing.
    """
    config = read_text_proto(path, "SSLConfig")
    for field in ("server_key", "server_cert"):
        if "-----BEGIN " not in getattr(config, field):
            raise StartError(f"Expected a {field} in PEM format in {path}. Received: none.")
    if config.client_verify and not config.custom_ca:
        raise StartError(f"Expected a custom_ca in {path}, to verify clients with. Received: none.")
    return grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=config.custom_ca.encode() or None,
        require_client_auth=config.client_verify,
    )
