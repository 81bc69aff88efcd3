"""The ports of the server: taken when it starts, opened once the models have loaded."""

import socket

import grpc

from tfrec.serving.errors import StartError


def reserve(host: str, port: int) -> socket.socket:
    """Takes a port without listening: whoever connects is refused at once. Close it before another one listens there.

    Args:
        host: An address or name of this machine.
        port: 0 takes a free one.

    Raises:
        OSError: Somebody listens there, or the host is not this machine.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
    reserved = socket.socket(family, kind, protocol)
    try:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # The server before may just have been killed.
        reserved.bind(address)
    except OSError:
        reserved.close()
        raise
    return reserved


def port_taken(protocol: str, host: str, port: int, flag: str) -> StartError:
    """The error for a port that cannot be had."""
    return StartError(
        f"Expected to listen for {protocol} on {host}:{port}. Received: the address is in use or not of this machine. "
        f"Stop what listens there, or choose another port with {flag}."
    )


def check_credentials(credentials: grpc.ServerCredentials) -> None:
    """Opens a port of no matter which number with these credentials, and closes it.

    Raises:
        StartError: The key and the certificate are no pair.
    """
    server = grpc.server(None)
    try:
        if server.add_secure_port("127.0.0.1:0", credentials) == 0:
            raise RuntimeError
    except RuntimeError as error:
        raise StartError(
            "Expected a key and its certificate in --ssl_config_file. Received: two that are no pair, or none that can "
            "be read: compare them."
        ) from error
    finally:
        server.stop(None)
