"""`python -m tfrec.serve`: serves exported models over TensorFlow Serving's gRPC and REST."""

import logging
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from tfrec.cli import messages_for_errors, new_app, start_tensorflow
from tfrec.errors import InputError

app = new_app()

EXAMPLES = """
Examples:

  python -m tfrec.serve --model_name movies --model_base_path saved_models/movies

  python -m tfrec.serve --model_config_file models.config --port 9000 --rest_api_port 0

  curl http://127.0.0.1:8501/v1/models/movies
"""


@app.command(epilog=EXAMPLES)
def serve(
    model_name: Annotated[
        str, typer.Option("--model_name", "--model-name", help="What requests call the model.")
    ] = "default",
    model_base_path: Annotated[
        str | None,
        typer.Option("--model_base_path", "--model-base-path", help="Folder that holds the version folders 1/, 2/, …"),
    ] = None,
    model_config_file: Annotated[
        Path | None,
        typer.Option(
            "--model_config_file",
            "--model-config-file",
            help="Several models, or another version policy: a ModelServerConfig in text format, instead of "
            "--model_name and --model_base_path.",
        ),
    ] = None,
    port: Annotated[int, typer.Option(help="gRPC port.", min=1, max=65535)] = 8500,
    rest_api_port: Annotated[
        int, typer.Option("--rest_api_port", "--rest-api-port", help="REST port; 0 serves no REST.", min=0, max=65535)
    ] = 8501,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is every interface.")] = "127.0.0.1",
    file_system_poll_wait_seconds: Annotated[
        float,
        typer.Option(
            "--file_system_poll_wait_seconds",
            "--file-system-poll-wait-seconds",
            help="Time between two looks for new versions; 0 looks once.",
            min=0,
        ),
    ] = 1.0,
    max_num_load_retries: Annotated[
        int,
        typer.Option(
            "--max_num_load_retries",
            "--max-num-load-retries",
            help="How often a version that fails to load is tried again.",
            min=0,
        ),
    ] = 5,
    load_retry_interval_micros: Annotated[
        int,
        typer.Option(
            "--load_retry_interval_micros",
            "--load-retry-interval-micros",
            help="Microseconds between two tries.",
            min=0,
        ),
    ] = 60_000_000,
) -> None:
    """Serves the newest version of an exported model, and each newer one as soon as it is there.

    The flags are those of tensorflow_model_server. Ctrl-C or SIGTERM lets the requests in flight end.
    """
    with messages_for_errors("serve"):
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        logger = logging.getLogger("tfrec.serve")
        start_tensorflow()

        # Late: importing TensorFlow takes seconds, and --help needs none of it.
        from tfrec.serving.config import ModelConfig, read_model_config_file
        from tfrec.serving.errors import StartError
        from tfrec.serving.model import LoadRetries
        from tfrec.serving.server import Server

        try:
            if (model_base_path is None) == (model_config_file is None):
                raise StartError(
                    "Expected one of --model_base_path and --model_config_file. Received: both or neither."
                )
            if model_config_file is not None:
                models = read_model_config_file(model_config_file)
            elif "://" in str(model_base_path):
                raise StartError(f"Expected a local folder as --model_base_path. Received: {model_base_path!r}")
            else:
                models = [ModelConfig(model_name, Path(str(model_base_path)).resolve())]
            server = Server(
                models,
                host=host,
                grpc_port=port,
                rest_api_port=rest_api_port or None,
                poll_seconds=file_system_poll_wait_seconds,
                retries=LoadRetries(max_num_load_retries, load_retry_interval_micros / 1e6),
            )
            server.start()
        except StartError as error:
            raise InputError(str(error)) from error
        stopping = threading.Event()
        interrupt = signal.getsignal(signal.SIGINT)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        stopping.wait()
        signal.signal(signal.SIGINT, interrupt)  # A second Ctrl-C does not wait.
        logger.info("Stopping: requests in flight may end")
        server.stop()
        logger.info("Stopped")


if __name__ == "__main__":
    app()
