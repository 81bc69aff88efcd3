"""The recipes that come with tfrec."""

from pathlib import Path

from tfrec.errors import InputError

RECIPES = Path(__file__).parents[1] / "recipes"


def find_recipe(recipe: str | Path) -> Path:
    """The TOML file of a recipe, given by path or by its name under `tfrec/recipes`."""
    for path in (Path(recipe), RECIPES / f"{recipe}.toml"):
        if path.is_file():
            return path
    raise InputError(
        f"Expected a recipe: a TOML file, or one of {recipe_names()}. Received: {str(recipe)!r}. "
        "Train on your own tables with --interactions and --items instead of a recipe."
    )


def recipe_names() -> list[str]:
    """The recipes that come with tfrec, as `<dataset>/<model>`."""
    return sorted(path.relative_to(RECIPES).with_suffix("").as_posix() for path in RECIPES.rglob("*.toml"))
