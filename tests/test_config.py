"""The configuration: strict keys, overrides, messages."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from tfrec.cli import parse_settings
from tfrec.config import Config, JDTowerConfig, TrainingConfig, recipe_names
from tfrec.errors import InputError

INTERACTIONS = {"data.interactions.path": "orders.csv"}


def recipe(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def message(*arguments: object) -> str:
    with pytest.raises(InputError) as error:
        Config.load(*arguments)  # type: ignore[arg-type]
    return str(error.value)


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_loads_by_its_name(name: str) -> None:
    config = Config.load(name)
    assert name.split("/") == [_dataset(config), config.model.name]


def _dataset(config: Config) -> str:
    if config.data.source != "tables":
        return config.data.source
    assert config.data.interactions is not None
    return config.data.interactions.path.parts[0]


def test_there_are_recipes() -> None:
    assert "movielens-100k/two_tower" in recipe_names()


def test_sections_that_a_recipe_leaves_out_have_their_defaults(tmp_path: Path) -> None:
    config = Config.load(recipe(tmp_path, '[data]\nsource = "movielens-100k"\n[training]\nepochs = 7'))
    assert config.training.epochs == 7
    assert config.training.batch_size == 1024
    assert config.model.embedding_size == 64


RANKER = {"data.source": "movielens-100k", "model.name": "jd_ranker"}


def test_a_ranker_has_defaults_of_its_own() -> None:
    config = Config.load(None, RANKER)
    assert config.ranks
    assert config.evaluation.monitor == "auc"
    assert config.training.batch_size == 32
    assert config.features.history_labels
    assert not Config.load(None, RANKER | {"model.name": "din"}).features.history_labels


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"features.history_labels": False}, "reads what was not liked too"),
        ({"evaluation.num_negatives": 100}, "is for models that recommend"),
        ({"evaluation.monitor": "grouped_auc"}, "needs users with several impressions in validation"),
        ({"model.name": "din", "data.events": ["click"]}, "Leave data.events empty"),
        ({"model.name": "two_tower", "features.history_labels": True}, "does not read features.history_labels"),
        ({"model.name": "two_tower", "evaluation.monitor": "auc"}, "is ndcg@10 or another metric of ranked lists"),
        ({"model.name": "din", "model.num_blocks": 3}, "Unknown configuration key 'model.num_blocks'"),
    ],
)
def test_what_does_not_go_together_is_refused(settings: dict, expected: str) -> None:
    assert expected in message(None, RANKER | settings)


def test_jd_tower_has_a_batch_size_of_its_own() -> None:
    data, model = {"source": "movielens-100k"}, JDTowerConfig(name="jd_tower")
    assert Config(data=data, model=model).training.batch_size == 32
    assert Config(data=data, model=model, training=TrainingConfig(epochs=7)).training.batch_size == 32
    assert Config(data=data, model=model, training=TrainingConfig(batch_size=64)).training.batch_size == 64
    assert Config(data=data).training.batch_size == 1024
    settings = {"data.source": "movielens-100k", "model.name": "jd_tower"}
    assert Config.load(None, settings).training.batch_size == 32
    assert Config.load(None, settings | {"training.epochs": 7}).training.batch_size == 32
    assert Config.load(None, settings | {"training.batch_size": 64}).training.batch_size == 64


def test_overrides_win_over_the_recipe_and_keep_the_rest_of_the_section(tmp_path: Path) -> None:
    path = recipe(tmp_path, '[data]\nsource = "movielens-100k"\n[training]\nepochs = 7\nbatch_size = 32')
    config = Config.load(path, {"training.epochs": 2, "model.dropout": 0.5})
    assert (config.training.epochs, config.training.batch_size, config.model.dropout) == (2, 32, 0.5)


def test_settings_of_the_command_line_reach_nested_keys() -> None:
    texts = [
        "data.interactions.path=orders.csv",
        "data.interactions.columns.item_id=sku",
        "data.interactions.label_range=[1, 5]",
        "model.hidden_sizes=[64, 32]",
        "model.use_text=false",
        "features.text_template={title} = {genres}",
        "backbone.name=minilm",
    ]
    config = Config.load(None, parse_settings(texts))
    assert config.data.interactions is not None
    assert config.data.interactions.path == Path("orders.csv")
    assert config.data.interactions.columns == {"item_id": "sku"}
    assert config.data.interactions.label_range == (1.0, 5.0)
    assert config.model.hidden_sizes == (64, 32)
    assert config.model.use_text is False
    assert config.features.text_template == "{title} = {genres}"
    assert config.backbone.name == "minilm"


def test_an_unknown_key_is_named_with_its_neighbour() -> None:
    text = message(None, INTERACTIONS | {"training.epoch": 3})
    assert "'training.epoch'" in text
    assert "Did you mean 'training.epochs'?" in text


def test_an_unknown_key_inside_an_optional_table_is_named_with_its_neighbour() -> None:
    text = message(None, INTERACTIONS | {"data.items.path": "items.csv", "data.items.categorial": ["brand"]})
    assert "Did you mean 'data.items.categorical'?" in text


def test_an_unknown_key_like_no_other_gets_the_list_of_keys() -> None:
    text = message(None, INTERACTIONS | {"zzz": 1})
    assert "Unknown configuration key 'zzz'" in text
    assert "model.log_q_correction" in text
    assert "data.users.vector" in text


def test_every_mistake_is_listed() -> None:
    text = message(None, INTERACTIONS | {"training.epochs": "many", "model.colour": "red"})
    assert "'training.epochs'" in text
    assert "'many'" in text
    assert "'model.colour'" in text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("training.epochs", 0),
        ("training.learning_rate", -1.0),
        ("training.weight_decay", -0.1),
        ("training.precision", "float8"),
        ("model.dropout", 1.0),
        ("model.temperature", 0),
        ("model.hidden_sizes", [16, 0]),
        ("backbone.sequence_length", 2),
        ("split.test_fraction", 1.5),
        ("evaluation.confidence", 1.0),
        ("data.source", "netflix"),
    ],
)
def test_a_bad_value_is_named_with_its_key_and_with_what_was_received(key: str, value: object) -> None:
    text = message("movielens-100k/two_tower", {key: value})
    assert f"'{key}" in text
    received = value[-1] if isinstance(value, list) else value
    assert f"Received: {received!r}" in text


def test_a_value_where_a_section_belongs(tmp_path: Path) -> None:
    text = message(recipe(tmp_path, 'data = "movielens"'), {"data.source": "movielens-100k"})
    assert "Expected a section at 'data' of 'data.source'. Received: 'movielens'" in text


def test_monitor_must_be_measured() -> None:
    text = message("movielens-100k/two_tower", {"evaluation.monitor": "ndcg@5"})
    assert "'evaluation'" in text
    assert "ndcg@10" in text
    assert "Received: 'ndcg@5'" in text
    config = Config.load("movielens-100k/two_tower", {"evaluation.monitor": "recall@5", "evaluation.cutoffs": (5,)})
    assert config.evaluation.monitor == "recall@5"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.head", "forest"),
        ("model.retrieval_weight", 0),
        ("model.ranking_weight", 0),
        ("model.ranking_negatives", 0),
        ("model.ranking_places", 0),
    ],
)
def test_a_head_is_one_of_three_and_is_trained_beside_retrieval(key: str, value: object) -> None:
    text = message("amazon-beauty/jd_tower", {key: value})
    assert f"'{key}'" in text
    assert f"Received: {value!r}" in text


@pytest.mark.parametrize("settings", [{"gpt": "gpt2_base_en"}, {"start_from_mean": True}])
def test_a_mean_has_no_gpt(settings: dict[str, object]) -> None:
    overrides = {f"model.{key}": value for key, value in settings.items()}
    assert next(iter(settings)) in message("amazon-beauty/jd_tower", {"model.user_tower": "mean", **overrides})


@pytest.mark.parametrize(
    ("recipe", "settings", "expected"),
    [
        ("movielens-100k/two_tower", {"sequences": ["crop"]}, "sequences is for model.name 'jd_tower'"),
        ("amazon-beauty/jd_tower", {"sequences": ["flip"]}, "Received: 'flip'"),
        ("amazon-beauty/jd_tower", {"share": 0}, "'features.augmentation.share'"),
        ("amazon-beauty/jd_tower", {"sequences": ["insert"], "similarity": "text"}, "vectors of a frozen backbone"),
        ("amazon-beauty/jd_tower", {"text_variants": 2}, "read texts. Received: model.name 'jd_tower' with use_text F"),
        ("amazon-beauty/jd_tower", {"text_variant": 2}, "Did you mean 'features.augmentation.text_variants'?"),
    ],
)
def test_augmentation_needs_what_it_varies(recipe: str, settings: dict[str, object], expected: str) -> None:
    overrides = {f"features.augmentation.{key}": value for key, value in settings.items()}
    assert expected in message(recipe, overrides | {"model.use_text": False})


def test_augmentation_is_off_by_default() -> None:
    chosen = Config.load("amazon-beauty/jd_tower").features.augmentation
    assert (chosen.sequences, chosen.text_variants) == ((), 0)


def test_heads_share_the_embedding_where_there_are_any() -> None:
    overrides = {"model.embedding_size": 15}
    assert "num_heads divides embedding_size" in message("amazon-beauty/jd_tower", overrides)
    config = Config.load("amazon-beauty/jd_tower", overrides | {"model.user_tower": "mean"})
    assert config.model.embedding_size == 15


def test_a_metric_without_its_cutoff_is_no_monitor() -> None:
    assert "Received: 'ndcg'" in message("movielens-100k/two_tower", {"evaluation.monitor": "ndcg"})


def test_a_profile_ends_after_it_began() -> None:
    overrides = {"training.profile_steps": [20, 10]}
    assert "profile_steps are a first step and a last one" in message("movielens-100k/two_tower", overrides)


def test_own_tables_need_interactions() -> None:
    assert "--interactions" in message(None, {"data.source": "tables"})


def test_a_known_data_set_takes_no_other_tables() -> None:
    others = {"data.interactions.path": "orders.csv", "data.items.path": "products.csv"}
    with pytest.raises(InputError, match=r"'movielens-100k' brings its own tables.*interactions, items: leave"):
        Config.load("movielens-100k/two_tower", others)
    config = Config.load("movielens-100k/two_tower", {**others, "data.source": "tables"})
    assert (config.data.source, config.features.user_columns) == ("tables", ())


def test_an_unknown_recipe_gets_the_list_of_recipes() -> None:
    text = message("movielens-100k/three_tower")
    assert "movielens-100k/two_tower" in text
    assert "Received: 'movielens-100k/three_tower'" in text


def test_a_recipe_that_is_no_toml_is_named(tmp_path: Path) -> None:
    path = recipe(tmp_path, "[data\nsource = 3")
    text = message(path)
    assert str(path) in text
    assert "Expected TOML" in text


def test_a_recipe_in_another_encoding_is_named(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_bytes('[data]\nsource = "movielens-100k"\ntitle = "Müller"'.encode("latin-1"))
    assert "Expected TOML" in message(path)


def test_a_configuration_is_frozen() -> None:
    config = Config.load("movielens-100k/two_tower")
    with pytest.raises(ValidationError, match="frozen"):
        config.training.epochs = 3  # type: ignore[misc]


def test_a_configuration_survives_json() -> None:
    config = Config.load(None, {**INTERACTIONS, "model.hidden_sizes": [8], "data.items.path": "items.csv"})
    assert Config.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize("setting", [{"backbone.tuning": "lora"}, {"backbone.pooling": "attention"}])
def test_training_a_text_encoder_that_is_not_used(setting: dict[str, object]) -> None:
    assert "need model.use_text = true" in message(None, {**INTERACTIONS, **setting, "model.use_text": False})
    assert Config.load(None, {**INTERACTIONS, **setting}).backbone.is_trained


def test_a_backbone_has_a_step_size_that_fits_its_tuning() -> None:
    sizes = [
        Config.load(None, {**INTERACTIONS, "backbone.tuning": tuning}).backbone.step_size for tuning in ("lora", "full")
    ]
    assert sizes == [4e-4, 2e-5]
    assert Config.load(None, {**INTERACTIONS, "backbone.learning_rate": 1e-5}).backbone.step_size == 1e-5
