"""The import contract is complete: import-linter only knows the modules that it is told."""

import configparser
import pkgutil
from pathlib import Path

import tfrec


def test_serving_may_import_no_other_part_of_tfrec() -> None:
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(Path(__file__).parents[2] / "setup.cfg", encoding="utf-8")
    contract = setup["importlinter:contract:serving"]
    assert contract["type"] == "forbidden"
    others = {f"tfrec.{module.name}" for module in pkgutil.iter_modules(tfrec.__path__)} - {"tfrec.serving"}
    assert set(contract["forbidden_modules"].split()) == others
