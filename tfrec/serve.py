"""`python -m tfrec.serve`: serves exported models over TensorFlow Serving's gRPC and REST."""

import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated, Any

if __name__ == "__main__":  # Ctrl-C ends the process without a traceback from the first import on
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import typer
from typer.core import TyperCommand

from tfrec.cli import messages_for_errors, new_app, start_tensorflow
from tfrec.errors import InputError

app = new_app()
app.rich_markup_mode = None  # its tables cut TensorFlow Serving's long flags at 80 columns

EXAMPLES = """
Examples:

  python -m tfrec.serve --model_name movies --model_base_path saved_models/movies

  python -m tfrec.serve --model_config_file models.config --port 9000 --rest_api_port 0

  curl http://127.0.0.1:8501/v1/models/movies
"""


class Flags(TyperCommand):
    """Takes switches as tensorflow_model_server does: `--enable_batching`, `--enable_batching=true`, `=false`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        switches = {option for each in self.params if getattr(each, "is_flag", False) for option in each.opts}
        taken = []
        for argument in args:
            flag, _, value = argument.partition("=")
            if flag in switches and value.lower() in ("true", "1"):
                taken.append(flag)
            elif not (flag in switches and value.lower() in ("false", "0")):
                taken.append(argument)
        return super().parse_args(ctx, taken)


@app.command(cls=Flags, epilog=EXAMPLES)
def serve(
    model_name: Annotated[str, typer.Option("--model_name", help="What requests call the model.")] = "default",
    model_base_path: Annotated[
        str | None,
        typer.Option("--model_base_path", help="Folder that holds the version folders 1/, 2/, …"),
    ] = None,
    model_config_file: Annotated[
        Path | None,
        typer.Option(
            "--model_config_file",
            help="Several models, or another version policy: a ModelServerConfig in text format, instead of "
            "--model_name and --model_base_path.",
        ),
    ] = None,
    model_config_file_poll_wait_seconds: Annotated[
        float,
        typer.Option(
            "--model_config_file_poll_wait_seconds",
            help="Time between two looks at --model_config_file; 0 reads it once.",
            min=0,
        ),
    ] = 0.0,
    allow_version_labels_for_unavailable_models: Annotated[
        bool,
        typer.Option(
            "--allow_version_labels_for_unavailable_models",
            help="Let new version_labels name versions that are not available. Needed for labels at the start.",
        ),
    ] = False,
    port: Annotated[int, typer.Option(help="gRPC port.", min=1, max=65535)] = 8500,
    rest_api_port: Annotated[
        int, typer.Option("--rest_api_port", help="REST port; 0 serves no REST.", min=0, max=65535)
    ] = 8501,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is every interface.")] = "127.0.0.1",
    file_system_poll_wait_seconds: Annotated[
        float,
        typer.Option(
            "--file_system_poll_wait_seconds",
            help="Time between two looks for new versions; 0 looks once.",
            min=0,
        ),
    ] = 1.0,
    max_num_load_retries: Annotated[
        int,
        typer.Option(
            "--max_num_load_retries",
            help="How often a version that fails to load is tried again.",
            min=0,
        ),
    ] = 5,
    load_retry_interval_micros: Annotated[
        int,
        typer.Option(
            "--load_retry_interval_micros",
            help="Microseconds between two tries.",
            min=0,
        ),
    ] = 60_000_000,
    enable_batching: Annotated[
        bool, typer.Option("--enable_batching", help="Run requests that come at the same time as one.")
    ] = False,
    batching_parameters_file: Annotated[
        Path | None,
        typer.Option(
            "--batching_parameters_file",
            help="Batch sizes, time-out and threads: a BatchingParameters in text format. With --enable_batching.",
        ),
    ] = None,
    enable_per_model_batching_parameters: Annotated[
        bool,
        typer.Option(
            "--enable_per_model_batching_parameters",
            help="Batch each version by the batching_params.pbtxt in its folder, if it has one. With "
            "--enable_batching.",
        ),
    ] = False,
    monitoring_config_file: Annotated[
        Path | None,
        typer.Option(
            "--monitoring_config_file",
            help="Serves metrics for Prometheus on the REST port: a MonitoringConfig in text format.",
        ),
    ] = None,
    ssl_config_file: Annotated[
        Path | None,
        typer.Option("--ssl_config_file", help="Encrypts the gRPC port: an SSLConfig in text format."),
    ] = None,
    enable_grpc_healthcheck_service: Annotated[
        bool,
        typer.Option(
            "--enable_grpc_healthcheck_service",
            help="Answer gRPC's health check, as Kubernetes' probes ask it: NOT_SERVING until the first versions are "
            "available.",
        ),
    ] = False,
    grpc_max_threads: Annotated[
        int | None,
        typer.Option(
            "--grpc_max_threads",
            help="How many gRPC requests are answered, or wait for their batch, at the same time; 4 a processor "
            "unless given.",
            min=1,
        ),
    ] = None,
    rest_api_num_threads: Annotated[
        int | None,
        typer.Option(
            "--rest_api_num_threads",
            help="How many REST requests are answered, or wait for their batch, at the same time; 4 a processor unless "
            "given.",
            min=1,
        ),
    ] = None,
    rest_api_timeout_in_ms: Annotated[
        int,
        typer.Option("--rest_api_timeout_in_ms", help="Milliseconds that a REST request may take.", min=1),
    ] = 30_000,
) -> None:
    """Serves the newest version of an exported model, and each newer one as soon as it is there.

    The flags are those of tensorflow_model_server. Ctrl-C or SIGTERM lets the requests in flight end.
    """
    # Until the server runs, Ctrl-C ends the process at once: a KeyboardInterrupt amid TensorFlow's import would come
    # out as some other error.
    interrupt = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        with messages_for_errors("serve"):
            if model_base_path is not None and model_config_file is not None:
                raise InputError("Expected one of --model_base_path and --model_config_file. Received: both.")
            if model_base_path is None and model_config_file is None:
                raise InputError("Expected --model_base_path or --model_config_file. Received: neither.")
            for flag, is_given in (
                ("--batching_parameters_file", batching_parameters_file is not None),
                ("--enable_per_model_batching_parameters", enable_per_model_batching_parameters),
            ):
                if is_given and not enable_batching:
                    raise InputError(f"Expected --enable_batching with {flag}. Received: {flag} alone.")
            if monitoring_config_file is not None and not rest_api_port:
                raise InputError("Expected a --rest_api_port with --monitoring_config_file. Received: 0.")
            if "://" in str(model_base_path):
                raise InputError(f"Expected a local folder as --model_base_path. Received: {model_base_path!r}")
            logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
            logging.getLogger("tensorflow").setLevel(logging.ERROR)
            logger = logging.getLogger("tfrec.serve")
            # Else gRPC's C++ has its own words on a port in use, before ours. It reads this when it is imported.
            os.environ.setdefault("GRPC_VERBOSITY", "NONE")
            start_tensorflow()

            # Late: importing TensorFlow takes seconds, and --help needs none of it.
            from tfrec.serving.batching_parameters import BatchingParameters
            from tfrec.serving.config import ModelConfig, read_model_config_file
            from tfrec.serving.errors import StartError
            from tfrec.serving.malformed import MalformedRequests
            from tfrec.serving.metrics import read_monitoring_config_file
            from tfrec.serving.model import LoadRetries
            from tfrec.serving.server import DEFAULT_THREADS, Server
            from tfrec.serving.tls import read_ssl_config_file

            logging.getLogger("grpc._common").addFilter(MalformedRequests())
            try:
                if model_config_file is not None:
                    models = read_model_config_file(model_config_file)
                else:
                    models = [ModelConfig(model_name, Path(str(model_base_path)).resolve())]
                batching = BatchingParameters() if enable_batching else None
                if batching_parameters_file is not None:
                    batching = BatchingParameters.read(batching_parameters_file)
                metrics_path = None
                if monitoring_config_file is not None:
                    metrics_path = read_monitoring_config_file(monitoring_config_file)
                server = Server(
                    models,
                    host=host,
                    grpc_port=port,
                    rest_api_port=rest_api_port or None,
                    poll_seconds=file_system_poll_wait_seconds,
                    retries=LoadRetries(max_num_load_retries, load_retry_interval_micros / 1e6),
                    model_config_file=model_config_file,
                    model_config_poll_seconds=model_config_file_poll_wait_seconds,
                    allow_labels_for_unavailable=allow_version_labels_for_unavailable_models,
                    batching=batching,
                    per_model_batching=enable_per_model_batching_parameters,
                    metrics_path=metrics_path,
                    credentials=read_ssl_config_file(ssl_config_file) if ssl_config_file else None,
                    health_check=enable_grpc_healthcheck_service,
                    grpc_max_threads=grpc_max_threads or DEFAULT_THREADS,
                    rest_threads=rest_api_num_threads or DEFAULT_THREADS,
                    rest_timeout_seconds=rest_api_timeout_in_ms / 1000,
                )
                server.start()
            except StartError as error:
                raise InputError(str(error)) from error
            stopping = threading.Event()
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: stopping.set())
            stopping.wait()
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # A second Ctrl-C does not wait.
            logger.info("Stopping: requests in flight may end")
            server.stop()
            logger.info("Stopped")
    finally:
        signal.signal(signal.SIGINT, interrupt)


if __name__ == "__main__":
    app()
