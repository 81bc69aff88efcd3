"""Running a pipeline: where it writes, what it counted, and that an earlier output is not overwritten unasked."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions, SetupOptions

from tfrec.batch.model import ModelVersion
from tfrec.batch.rejected import NAMESPACE
from tfrec.errors import InputError

SUMMARY = "summary.json"
REJECTED_FILES = "rejected"


class Output:
    """A folder of shards, on any of Beam's file systems.

    Args:
        folder: Its path.
        name: What the shards begin with: `<folder>/<name>-00000-of-00004.parquet`.
        shards: How many; 0 lets the runner decide.
    """

    def __init__(self, folder: str, name: str, shards: int = 0) -> None:
        self.folder = folder
        self._name = name
        self._shards = shards

    def clear(self, overwrite: bool) -> None:
        """Removes what an earlier run has written, or left half written.

        Raises:
            InputError: There is something, and it is not to be overwritten.
        """
        patterns = [f"{self._name}-*-of-*", f"{REJECTED_FILES}-*-of-*", SUMMARY]
        found = FileSystems.match([self.path(pattern) for pattern in patterns])
        paths = [each.path for match in found for each in match.metadata_list]
        if paths and not overwrite:
            raise InputError(
                f"Expected a folder without an earlier output at {self.folder}. Received: {len(paths)} files of one, "
                f"{paths[0]} the first. Pass --overwrite, or another --output."
            )
        if paths:
            FileSystems.delete(paths)

    def write(self, tables: Any, rejected: Sequence[Any], schema: pa.Schema) -> None:
        """Adds the end of a pipeline: tables of this schema into Parquet, rejected rows into JSON lines."""
        _ = tables | "Write" >> beam.io.WriteToParquetBatched(
            self.path(self._name), schema, codec="zstd", file_name_suffix=".parquet", num_shards=self._shards
        )
        _ = (
            tuple(rejected)
            | "All rejected" >> beam.Flatten()
            | "Write rejected" >> beam.io.WriteToText(self.path(REJECTED_FILES), ".jsonl", skip_if_empty=True)
        )

    def path(self, name: str) -> str:
        return FileSystems.join(self.folder, name)


def run(
    build: Callable[[beam.Pipeline], None], output: Output, version: ModelVersion, options: Sequence[str]
) -> dict[str, Any]:
    """Runs a pipeline to its end, and writes what it counted as `summary.json`: where that is, all shards are.

    Args:
        build: Adds the steps.
        output: Where they write.
        version: The model that they ask.
        options: Beam's own, as `--runner=FlinkRunner`.

    Returns:
        The summary: the model, and Beam's counters by name.

    Raises:
        RuntimeError: The pipeline failed.
    """
    parsed = PipelineOptions([*options])
    # What a DoFn needs is imported from its module, not taken from this process.
    parsed.view_as(SetupOptions).save_main_session = False
    pipeline = beam.Pipeline(options=parsed)
    build(pipeline)
    result = pipeline.run()
    state = result.wait_until_finish()
    if state != beam.runners.runner.PipelineState.DONE:
        raise RuntimeError(f"The pipeline ended as {state}. Read the runner's log.")
    counters = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))["counters"]
    counts: dict[str, int] = {}
    for each in counters:
        counts[each.key.metric.name] = counts.get(each.key.metric.name, 0) + each.result
    summary = {"model": version.name, "model_version": version.version, **dict(sorted(counts.items()))}
    with FileSystems.create(output.path(SUMMARY)) as file:
        file.write((json.dumps(summary, indent=2) + "\n").encode())
    return summary
