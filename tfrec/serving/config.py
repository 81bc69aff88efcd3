"""Which models are served, from where, and which of their versions."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tensorflow_serving.config.model_server_config_pb2 import ModelConfig as ModelConfigProto
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from tfrec.serving.errors import StartError
from tfrec.serving.text_protos import read_text_proto

_LARGEST_VERSION = 2**63 - 1


@dataclass(frozen=True)
class VersionPolicy:
    """The versions to serve, out of those on disk.

    Attributes:
        latest: The highest so many; None is all of them.
        specific: Exactly these, where any is named; `latest` does not count then.
    """

    latest: int | None = 1
    specific: frozenset[int] = frozenset()

    def choose(self, versions: Iterable[int]) -> set[int]:
        """Those of `versions` to serve."""
        if self.specific:
            return set(versions) & self.specific
        newest_first = sorted(versions, reverse=True)
        return set(newest_first[: self.latest])


@dataclass(frozen=True)
class ModelConfig:
    """A model by name.

    Attributes:
        name: What requests call it.
        base_path: The absolute folder that holds `<number>/` folders, one SavedModel each.
        policy: The versions to serve.
        version_labels: Label -> the version that requests with this label get.

    Raises:
        StartError: The name is empty or the base path is not absolute.
    """

    name: str
    base_path: Path
    policy: VersionPolicy = VersionPolicy()
    version_labels: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.name:
            raise StartError("Expected a model name. Received: ''. Pass --model_name NAME.")
        if not self.base_path.is_absolute():
            raise StartError(
                f"Expected model {self.name} to have an absolute base path. Received: {str(self.base_path)!r}. "
                f"Write it as {str(self.base_path.resolve())!r}."
            )

    def versions_on_disk(self) -> dict[int, Path]:
        """Number -> folder. Folders whose name is no number are skipped: an export in progress has such a name.

        Raises:
            OSError: The base path cannot be listed.
        """
        found: dict[int, Path] = {}
        for path in sorted(self.base_path.iterdir()):
            is_number = path.name.isascii() and path.name.isdecimal()
            if is_number and int(path.name) <= _LARGEST_VERSION and path.is_dir():
                found.setdefault(int(path.name), path)
        return found


def read_model_config_file(path: Path) -> list[ModelConfig]:
    """The models of a ModelServerConfig in text format, TensorFlow Serving's `--model_config_file`.

    Raises:
        StartError: The file cannot be read or parsed, or describes no servable model.
    """
    proto = read_text_proto(path, ModelServerConfig())
    try:
        models = model_configs(proto)
    except StartError as error:
        raise StartError(f"{path}: {error}") from error
    names = [model.name for model in models]
    if not models or len(set(names)) < len(names):
        raise StartError(
            f"Expected a model_config_list of one or more models with different names in {path}. Received: {names}"
        )
    return models


def model_configs(proto: ModelServerConfig) -> list[ModelConfig]:
    """The models of a message.

    Raises:
        StartError: One of them cannot be served.
    """
    return [_model_config(model) for model in proto.model_config_list.config]


def _model_config(proto: ModelConfigProto) -> ModelConfig:
    if proto.model_platform != "tensorflow":
        raise StartError(
            f"Expected model_platform: 'tensorflow' for model {proto.name!r}. Received: {proto.model_platform!r}"
        )
    choice = proto.model_version_policy
    kind = choice.WhichOneof("policy_choice")
    if kind == "all":
        policy = VersionPolicy(latest=None)
    elif kind == "specific":
        if not choice.specific.versions:
            raise StartError(f"Expected versions in the specific policy of model {proto.name!r}. Received: none.")
        policy = VersionPolicy(specific=frozenset(choice.specific.versions))
    else:
        policy = VersionPolicy(latest=choice.latest.num_versions or 1)
    return ModelConfig(proto.name, Path(proto.base_path), policy, dict(proto.version_labels))
