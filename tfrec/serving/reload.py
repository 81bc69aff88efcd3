"""Changing which models are served while serving: by request, or by the model config file."""

import logging
import threading
import time
from pathlib import Path

import grpc
from tensorflow_serving.apis.model_management_pb2 import ReloadConfigRequest, ReloadConfigResponse
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from tfrec.serving.config import ModelConfig, model_configs, read_model_config_file
from tfrec.serving.errors import RequestError, StartError, invalid_argument
from tfrec.serving.manager import Manager
from tfrec.serving.model import State

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_LOOKS = 0.05


def reload_config(manager: Manager, request: ReloadConfigRequest, call: grpc.ServicerContext) -> ReloadConfigResponse:
    """Serves the models of a request instead of those before, and waits until those that are new are available.

    Args:
        manager: The models.
        request: Their configuration.
        call: Who asks; if it gives up, its models still load.

    Raises:
        RequestError: The configuration is wrong, a label cannot be given, or a new model does not load.
    """
    if request.config.WhichOneof("config") != "model_config_list":
        raise invalid_argument(
            "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently "
            "supported"
        )
    new = manager.reload(_checked(request.config))
    while call.is_active() and not _are_available(manager, new):
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    response = ReloadConfigResponse()
    response.status.error_code = 0
    return response


def _checked(proto: ModelServerConfig) -> list[ModelConfig]:
    """The models of a request. Raises what TensorFlow Serving answers."""
    names = set()
    for model in proto.model_config_list.config:
        if model.name in names:
            raise invalid_argument(f"Illegal to list model {model.name} multiple times in config list")
        names.add(model.name)
        if not Path(model.base_path).is_absolute():
            raise invalid_argument(
                f"Expected model {model.name} to have an absolute path or URI; got base_path()={model.base_path}"
            )
        if not model.model_platform:
            raise invalid_argument(
                "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
                f"ModelServerConfig::model_platform, model name is {model.name}"
            )
        if model.model_platform != "tensorflow":
            raise invalid_argument(f"Model {model.name} requests unsupported platform {model.model_platform}")
    try:
        return model_configs(proto)
    except StartError as error:
        raise invalid_argument(str(error)) from error


def _are_available(manager: Manager, names: set[str]) -> bool:
    """Whether each of these models has a version that serves. Raises if one never will."""
    failed = []
    is_waiting = False
    for name in sorted(names):
        versions = manager.versions_of(name)
        if any(version.state is State.AVAILABLE for version in versions):
            continue
        if not versions or any(version.error is None for version in versions):
            is_waiting = True
            continue
        newest = versions[0]
        failed.append(f"{{{{name: {name} version: {newest.number}}} due to error: {newest.error}}}, ")
    if failed and not is_waiting:
        message = f"{len(failed)} model(s) did not become available: {{{''.join(failed)}}}"
        raise RequestError(grpc.StatusCode.UNKNOWN, message)
    return not is_waiting


class ConfigFileWatcher:
    """Reads the model config file again and again, and serves what it says. A wrong file changes nothing.

    Args:
        manager: The models.
        path: The file.
        poll_seconds: Time between two looks.
    """

    def __init__(self, manager: Manager, path: Path, poll_seconds: float) -> None:
        self._manager = manager
        self._path = path
        self._poll_seconds = poll_seconds
        self._stopping = threading.Event()
        self._complaint = ""
        self._thread = threading.Thread(target=self._watch, name=f"watch {path}", daemon=True)

    def start(self) -> None:
        """Begins to look."""
        self._thread.start()

    def stop(self) -> None:
        """Looks no longer."""
        self._stopping.set()

    def _watch(self) -> None:
        while not self._stopping.wait(self._poll_seconds):
            try:
                self._manager.reload(read_model_config_file(self._path))
                self._complaint = ""
            except (StartError, RequestError) as error:
                if str(error) != self._complaint:  # Once, not at every look.
                    logger.error("%s is not taken over: %s", self._path, error)
                self._complaint = str(error)
            except Exception:  # This thread is all that ever looks: it must not end.
                logger.exception("Watching %s failed; trying again", self._path)
