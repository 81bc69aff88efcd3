"""The optimisation, and how it is judged."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tfrec.config.section import PositiveFloat, PositiveInt, Section

CLICK_MONITORS = ("auc", "grouped_auc")
"""What early stopping may watch of a model that predicts the click."""


class TrainingConfig(Section):
    """The optimisation."""

    epochs: PositiveInt = 30
    """At most so many passes over the examples; of gbdt, so many times model.trees_per_epoch trees, by default 100."""

    batch_size: PositiveInt = 1024
    """Examples in a step, over all devices. jd_tower's and jd_ranker's are whole histories: their default is 32."""

    learning_rate: PositiveFloat = 1e-3
    """AdamW's step size; of gbdt, what each tree is shrunk by, by default .05."""

    schedule: Literal["constant", "cosine"] = "constant"
    """How the step size changes. cosine: from learning_rate down to zero over all training.epochs, which then can't be
    raised afterwards."""

    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """AdamW's decoupled weight decay."""

    lazy_rows: PositiveInt | None = 100_000
    """Of an embedding with more rows than so many, a step changes the rows of its batch alone, and their moments
    (LazyAdam): its time follows the batch and not the catalogue. None: of none."""

    patience: PositiveInt = 3
    """Epochs without a better validation metric before training stops; the best epoch's weights are kept."""

    checkpoint_minutes: Annotated[float, Field(ge=0)] = 10.0
    """Within an epoch a checkpoint is written about so often, too, and when training is interrupted: a run that was
    stopped goes on at that step. 0: at the end of epochs alone, as always with gbdt."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Decides the initial weights, the order of the examples and dropout."""

    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    """Of the layers' arithmetic; weights, losses and a frozen text backbone stay float32."""

    device: Literal["auto", "cpu", "gpu"] = "auto"
    """auto: every visible GPU, else the CPU."""

    num_devices: PositiveInt | None = None
    """Train on this many devices, of each worker, through tf.distribute. None: all GPUs, or one CPU."""

    deterministic: bool = True
    """Ask TensorFlow for the deterministic version of every op: the same seed gives the same weights."""

    wandb_project: str | None = None
    """A project of Weights & Biases that is told, beside TensorBoard's events; needs `pip install 'tfrec[wandb]'`."""

    profile_steps: tuple[PositiveInt, PositiveInt] | None = None
    """From which step to which, counted from the beginning of the command, TensorBoard's profiler records what each
    operation takes. None: not."""

    @model_validator(mode="after")
    def _profile_ends_after_it_began(self) -> Self:
        if self.profile_steps is not None and self.profile_steps[1] < self.profile_steps[0]:
            raise ValueError(f"training.profile_steps are a first step and a last one. Received: {self.profile_steps}")
        return self


class EvaluationConfig(Section):
    """The ranking protocol."""

    cutoffs: tuple[PositiveInt, ...] = (10, 20, 50)
    """The k of recall@k and the others."""

    monitor: str = "ndcg@10"
    """The validation metric that early stopping watches; of models that predict the click auc, their default, or
    grouped_auc."""

    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Level of the bootstrap confidence intervals."""

    bootstrap_samples: PositiveInt = 1000
    """Resamples of the cases that an interval is drawn from."""

    num_negatives: PositiveInt | None = None
    """The test ranks a target among so many items drawn for its case, for figures beside those of papers that do; all
    that is reported is labelled as sampled, and can put models in the wrong order. None: among the whole catalogue."""

    @model_validator(mode="after")
    def _monitor_is_measured(self) -> Self:
        metrics = [f"{name}@{k}" for k in self.cutoffs for name in ("recall", "hit_rate", "ndcg", "mrr")]
        metrics += CLICK_MONITORS
        if self.monitor not in metrics:
            raise ValueError(f"monitor is one of {metrics}. Received: {self.monitor!r}")
        return self
