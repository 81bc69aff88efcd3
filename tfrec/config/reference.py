"""The page of all settings."""

import json
from typing import Literal, get_args, get_origin

from pydantic import BaseModel

from tfrec.config.config import Config
from tfrec.config.data import AugmentationConfig, TableConfig
from tfrec.config.section import sections


def reference() -> str:
    """All settings, their defaults and what they mean, as Markdown: `docs/configuration.md`."""
    lines = ["# Configuration", "", "Written by `python -m tfrec.config`; the source is `tfrec/config/`.", ""]
    lines += [
        "In a recipe a section is a TOML table; on the command line any setting is `--set section.key=value`.",
        "",
    ]
    named: list[tuple[str, type[BaseModel]]] = [
        (name, each) for name, field in Config.model_fields.items() for each in sections(field.annotation)
    ]
    named.append(("features.augmentation", AugmentationConfig))
    named.append(("data.interactions, data.items, data.users", TableConfig))
    for name, section in named:
        lines += [f"## {name}", "", str(section.__doc__), "", "| key | default | meaning |", "|---|---|---|"]
        for key, field in section.model_fields.items():
            if not sections(field.annotation):
                default = "required" if field.is_required() else f"`{json.dumps(field.default)}`"
                choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
                meaning = " ".join(str(field.description).split()).replace("|", "\\|")
                if choices:
                    meaning = f"{', '.join(f'`{choice}`' for choice in choices)}. {meaning}"
                lines.append(f"| `{key}` | {default} | {meaning} |")
        lines.append("")
    return "\n".join(lines)
