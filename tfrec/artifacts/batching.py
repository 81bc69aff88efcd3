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
# pad_variable_length_inputs stays off: it pads with each tensor's own first element, not with "", and so would
# repeat the first item of a history. num_batch_threads is the server's: the threads are shared by all models.
"""


def write_batching(folder: Path) -> None:
    """Writes the parameters of a version into its folder; the sizes are those of its warm-up."""
    sizes = "\n".join(f"allowed_batch_sizes: {size}" for size in BATCH_SIZES)
    (folder / BATCHING).write_text(TEMPLATE.format(largest=BATCH_SIZES[-1], sizes=sizes), encoding="utf-8")
