"""`python -m tfrec.train`: trains a recommender from a recipe or from one's own tables."""

import json
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tfrec import console
from tfrec.cli import DataRoot, messages_for_errors, new_app, parse_settings, start_tensorflow
from tfrec.config import Config, TableConfig, recipe_names
from tfrec.config.models import MULTI_TASK_NAMES
from tfrec.errors import InputError
from tfrec.training.cluster import Cluster
from tfrec.training.commands import note_command, this_command
from tfrec.training.run import Run, write_json
from tfrec.training.weights_and_biases import require_wandb

if TYPE_CHECKING:
    import tensorflow as tf

    from tfrec.datasets import Dataset, Impressions, Split

app = new_app()

EXAMPLES = f"""
[bold]Examples[/bold]

  python -m tfrec.train movielens-100k/two_tower

  python -m tfrec.train movielens-100k/two_tower --epochs 5 --set model.embedding_size=32

  python -m tfrec.train --interactions orders.csv --items products.csv --column user_id=customer
  --column item_id=sku --column timestamp=when --text name --categorical brand --run runs/shop

  python -m tfrec.train --interactions 'logs/2024-*.parquet' --items products.csv --run runs/year

  python -m tfrec.train --interactions impressions.csv --items ads.csv --column label=clicked
  --categorical interactions.device,advertiser --set model.name=deepfm --set split.kind=global_time --run runs/ads

A run that was stopped goes on with the same command. Where TF_CONFIG tells of several workers, the same command on each
of them trains one model (docs/training.md). Recipes: {", ".join(recipe_names())}.
All settings: docs/configuration.md
"""

TABLES = "Your own tables"
TRAINING = "Training"


def _table(help: str) -> Any:
    return typer.Option(help=help, rich_help_panel=TABLES, show_default=False)


def _training(help: str) -> Any:
    return typer.Option(help=help, rich_help_panel=TRAINING, show_default=False)


@app.command(epilog=EXAMPLES)
def train(
    recipe: Annotated[str | None, typer.Argument(help="A recipe's name, or a TOML file.", show_default=False)] = None,
    run: Annotated[
        Path | None, typer.Option(help="The run's folder; runs/RECIPE if not given.", show_default=False)
    ] = None,
    data_root: DataRoot = Path("data"),
    fresh: Annotated[bool, typer.Option("--fresh", help="Replace the run instead of going on with it.")] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any setting of the configuration.")
    ] = None,
    interactions: Annotated[
        Path | None, _table("Who did what: CSV, Parquet or JSON lines; a folder of such files, or 'logs/*.parquet'.")
    ] = None,
    items: Annotated[Path | None, _table("What each item says about itself.")] = None,
    users: Annotated[Path | None, _table("What is known of each user.")] = None,
    column: Annotated[
        list[str] | None,
        _table("ROLE=COLUMN or TABLE.ROLE=COLUMN. Roles: user_id, item_id, timestamp, event, label, value."),
    ] = None,
    text: Annotated[list[str] | None, _table("Text columns of the items.")] = None,
    categorical: Annotated[
        list[str] | None, _table("Categories: COLUMN of the items, users.COLUMN or interactions.COLUMN.")
    ] = None,
    numeric: Annotated[
        list[str] | None, _table("Numbers: COLUMN of the items, users.COLUMN or interactions.COLUMN.")
    ] = None,
    vector: Annotated[
        list[str] | None, _table("Vectors: COLUMN of the items, users.COLUMN or interactions.COLUMN.")
    ] = None,
    outcome: Annotated[
        list[str] | None, _table("Columns of the interactions that are 0 or 1, for models with several tasks.")
    ] = None,
    title: Annotated[str | None, _table("The text column that is shown to people.")] = None,
    encoding: Annotated[str | None, _table("Encoding of the text files, as in latin-1.")] = None,
    delimiter: Annotated[str | None, _table("Delimiter of the CSV files, if it is not to be guessed.")] = None,
    bad_rows: Annotated[str | None, _table("error (the default) or drop.")] = None,
    unknown_items: Annotated[
        str | None, _table("Interactions with items that the items table lacks: drop (the default), keep or error.")
    ] = None,
    epochs: Annotated[int | None, _training("At most so many epochs.")] = None,
    batch_size: Annotated[int | None, _training("Examples in a step.")] = None,
    seed: Annotated[int | None, _training("Decides initial weights, order and dropout.")] = None,
    device: Annotated[str | None, _training("auto, cpu or gpu.")] = None,
    num_devices: Annotated[int | None, _training("Train on so many devices at once.")] = None,
    precision: Annotated[str | None, _training("float32, mixed_bfloat16 or mixed_float16.")] = None,
) -> None:
    """Trains a recommender, from a recipe or from your own tables, and keeps its best epoch.

    The run's folder holds the configuration, checkpoints, TensorBoard events and all that tfrec.evaluate and
    tfrec.export need.
    """
    with messages_for_errors("train", "; the same command, without --fresh, goes on from here"):
        tables = {
            name: path for name, path in (("interactions", interactions), ("items", items), ("users", users)) if path
        }
        if recipe is None and "interactions" not in tables:
            raise InputError(
                f"Expected a recipe ({', '.join(recipe_names())}) or --interactions FILE. Received: neither. "
                "See python -m tfrec.train --help."
            )
        overrides = {
            **_table_settings(
                tables, column or [], {"text": text, "categorical": categorical, "numeric": numeric, "vector": vector}
            ),
            **{
                f"data.{name}.{key}": value
                for name in tables
                for key, value in (("encoding", encoding), ("delimiter", delimiter))
                if value
            },
            "data.interactions.outcomes": [column for value in outcome for column in value.split(",")]
            if outcome
            else None,
            "data.title": title,
            "data.bad_rows": bad_rows,
            "data.unknown_items": unknown_items,
            "training.epochs": epochs,
            "training.batch_size": batch_size,
            "training.seed": seed,
            "training.device": device,
            "training.num_devices": num_devices,
            "training.precision": precision,
        }
        overrides = {key: value for key, value in overrides.items() if value is not None}
        config = Config.load(recipe, {**overrides, **parse_settings(settings or [])})
        folder = run or Path("runs") / _run_name(recipe, tables)
        cluster = Cluster.from_environment()
        if cluster is not None:
            _check_cluster(cluster, config)
        if cluster is None or cluster.is_chief:
            _train(folder, config, data_root, fresh, cluster)
        else:
            _follow(folder, config, data_root, cluster)


def _run_name(recipe: str | None, tables: dict[str, Path]) -> str:
    if recipe is None:
        return TableConfig.model_validate({"path": tables["interactions"]}).title
    return recipe if recipe in recipe_names() else Path(recipe).stem


def _table_settings(tables: dict[str, Path], columns: list[str], roles: dict[str, list[str] | None]) -> dict[str, Any]:
    """The flags that describe tables, as configuration keys."""
    overrides: dict[str, Any] = {f"data.{name}.path": str(path) for name, path in tables.items()}

    def require(table: str, flag: str) -> None:
        if tables and table not in tables:
            raise InputError(f"Expected --{table} FILE, since {flag} is of that table. Received: no such flag.")

    belongs = {"user_id": ("interactions", "users"), "item_id": ("interactions", "items")}
    # What is said of one table wins over what is said of all.
    for entry in sorted(columns, key=lambda entry: "." in entry.partition("=")[0]):
        role, separator, column = entry.partition("=")
        if not separator:
            raise InputError(f"Expected --column ROLE=COLUMN, as in --column item_id=sku. Received: {entry!r}")
        table, dot, only = role.rpartition(".")
        names = [table] if dot else [name for name in belongs.get(role, ("interactions",)) if name in tables]
        for name in names:
            require(name, f"--column {entry}")
            overrides[f"data.{name}.columns.{only}"] = column
    for kind, entries in roles.items():
        named: dict[str, list[str]] = {}
        for entry in (part for value in entries or [] for part in value.split(",")):
            table, _, column = entry.partition(".")
            if table not in ("interactions", "items", "users"):
                table, column = "items", entry
            require(table, f"--{kind} {entry}")
            named.setdefault(table, []).append(column)
        overrides |= {f"data.{name}.{kind}": found for name, found in named.items()}
    return overrides


def _check_cluster(cluster: Cluster, config: Config) -> None:
    """What is wrong with it shows before anything is read."""
    if config.model.name == "gbdt":
        raise InputError(
            "Expected one machine for model.name 'gbdt', whose trees grow there. Received: several, in the environment "
            "variable TF_CONFIG. Unset it."
        )
    cluster.require_free_port()


def _start(config: Config, cluster: Cluster | None) -> "tf.distribute.Strategy":
    """TensorFlow, and where the model trains."""
    start_tensorflow()

    from tfrec.training.trainer import set_up_devices

    if cluster is not None:
        others = ", ".join(address for address in cluster.addresses if address != cluster.addresses[cluster.number])
        console.say(f"{cluster.name}{', the chief' if cluster.is_chief else ''}: waiting for {others}")
    return set_up_devices(config, cluster)


def _train(folder: Path, config: Config, data_root: Path, fresh: bool, cluster: Cluster | None) -> None:
    started = time.perf_counter()
    console.say(f"run {folder}")
    if config.training.wandb_project is not None:
        require_wandb()
    stamps = {
        name: [each for file in table.files for each in (str(file), file.stat().st_size, file.stat().st_mtime_ns)]
        for name, table in config.data.located(data_root).tables().items()
        if table.files
    }
    # Workers that wait for each other learn at once if one fails.
    strategy = None if cluster is None else _start(config, cluster)
    # The data are looked at before TensorFlow is started, so that what is wrong with them shows within a second, and
    # before --fresh removes anything.
    goes_on = not fresh and Run.exists(folder) and Run.open(folder).keeps(config)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        reading = tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-reading-")
        scratch = Path(stack.enter_context(reading))
        data = None if goes_on else _load(config, data_root, scratch)
        stack.enter_context(Run.alone_in(folder))
        for leftover in folder.parent.glob(f".{folder.name}-reading-*"):  # of runs that were killed
            if leftover != scratch:
                shutil.rmtree(leftover, ignore_errors=True)
        run = Run.create(folder, config, fresh)
        if data is not None:
            write_json(run.stamps, stamps)
        elif stamps != json.loads(run.stamps.read_text(encoding="utf-8")):
            console.say("warning: the tables have changed since this run read them; pass --fresh to read them again")
        strategy = strategy or _start(config, None)

        from tfrec.features.prepared import Prepared
        from tfrec.features.prepared_impressions import PreparedImpressions
        from tfrec.training.prepare import prepare, prepare_impressions
        from tfrec.training.trainer import train
        from tfrec.training.workers import meet, messages_for_lost_workers

        if data is not None:
            (prepare_impressions if config.ranks else prepare)(*data, config, data_root).save(run.prepared)
            data = None  # Training needs the memory.
            reading.cleanup()
        with messages_for_lost_workers(cluster):
            meet(strategy)
            prepared = (PreparedImpressions if config.ranks else Prepared).load(run.prepared)
            state = train(run, prepared, strategy, data_root)
        note_command(run, this_command("train", sys.argv[1:], time.perf_counter() - started))
    console.say(
        f"done: epoch {state.best_epoch} of {state.epoch} is the best, "
        f"validation {config.evaluation.monitor} {state.best_value:.4f}"
    )
    where = f" --data-root {data_root}" if config.backbone.is_trained and data_root != Path("data") else ""
    console.say(f"next: python -m tfrec.evaluate {folder}{where}    curves: tensorboard --logdir {run.tensorboard}")


def _follow(folder: Path, config: Config, data_root: Path, cluster: Cluster) -> None:
    """What a worker beside the chief does: its share of each batch."""
    strategy = _start(config, cluster)

    from tfrec.features.prepared import Prepared
    from tfrec.features.prepared_impressions import PreparedImpressions
    from tfrec.training.trainer import train
    from tfrec.training.workers import meet, messages_for_lost_workers

    with messages_for_lost_workers(cluster):
        console.say("waiting for the chief to prepare the data")
        meet(strategy)
        run = Run.join(folder, config)
        prepared = (PreparedImpressions if config.ranks else Prepared).load(run.prepared)
        train(run, prepared, strategy, data_root)
    console.say("done; the chief says how well")


def _load(config: Config, data_root: Path, folder: Path) -> "tuple[Dataset, Any, list[str] | None]":
    """The data, their division (a Split, or Impressions of a model that predicts the click), and the items' texts. What
    is too much for the memory is in the folder."""
    from tfrec.datasets import history_context, load_dataset, load_impressions, load_positives, split_dataset
    from tfrec.features.text import item_texts

    dataset = load_dataset(config.data, data_root) if config.ranks else load_positives(config, data_root, folder)
    if not config.ranks and dataset.context_roles.columns:
        unread = ", ".join(dataset.context_roles.columns)
        console.say(f"note: {config.model.name} does not read the interactions' {unread}; rankers do (docs/ranking.md)")
    counts = f"{dataset.num_interactions:,} interactions, {dataset.num_users:,} users, {dataset.num_items:,} items"
    console.say(f"{dataset.name}: {counts}")
    notes = dataset.notes
    divided: Split | Impressions
    if config.ranks:
        divided = load_impressions(dataset, config)
        notes += (divided.summary(),)
        if config.data.negatives:
            notes += ("Some impressions are drawn at random: probabilities are those of such a mixture.",)
        if dataset.outcomes and config.model.name not in MULTI_TASK_NAMES:
            notes += (f"{config.model.name} predicts the label alone, and not {', '.join(dataset.outcomes)}.",)
    else:
        context = history_context(dataset, config.features)
        divided = split_dataset(dataset, config.split, context, None if dataset.log is None else folder)
        notes += divided.notes
        longest = config.features.history_length
        num_long = int((divided.train.lengths > longest).sum())
        if num_long:
            notes += (
                f"{num_long:,} users have more than {longest} training interactions (features.history_length): all are "
                f"learned from, each by the latest {longest} before it.",
            )
    for note in notes:
        console.say(f"note: {note}")
    needs_texts = config.model.use_text or config.reads_words
    return dataset, divided, item_texts(dataset, config.features.text_template) if needs_texts else None


if __name__ == "__main__":
    app()
