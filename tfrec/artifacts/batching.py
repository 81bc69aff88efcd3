"""How a server batches the requests of a version: parameters that travel with it."""

from pathlib import Path

from tfrec.artifacts.warmup import BATCH_SIZES

BATCHING = "batching_params.pbtxt"

TEMPLATE = """\
# BatchingParameters, read with --enable_batching --enable_per_model_batching_parameters.
# A batch is filled up to one of these sizes: the warm-up has run each of them.
max_batch_size {{ value: {largest} }}
{sizes}
batch_timeout_micros {{ value: 2000 }}
max_enqueued_batches {{ value: 100 }}
# num_batch_threads is the server's: the threads are shared by all models.
{padding}
"""

WIDENED = """\
# Requests differ in how much they exclude and filter by. They are filled up with each tensor's own first element: begin
# these lists with "", as tfrec's clients do. Histories all have the width that the metadata states.
pad_variable_length_inputs: true"""

AS_THEY_ARE = """\
# pad_variable_length_inputs stays off: it fills up with each tensor's own first element, and so would repeat the first
# candidate. Give requests that are to run together one width."""


def write_batching(folder: Path, may_widen: bool) -> None:
    """Writes the parameters of a version into its folder; the sizes are those of its warm-up."""
    sizes = "\n".join(f"allowed_batch_sizes: {size}" for size in BATCH_SIZES)
    padding = WIDENED if may_widen else AS_THEY_ARE
    text = TEMPLATE.format(largest=BATCH_SIZES[-1], sizes=sizes, padding=padding)
    (folder / BATCHING).write_text(text, encoding="utf-8")
