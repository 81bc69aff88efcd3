"""Batch work as Apache Beam pipelines: recommending for all users, encoding items.

A pipeline needs TensorFlow, pyarrow and Beam, and asks an exported SavedModel; nothing here knows how it was trained.
Which runner executes it is said on the command line: `python -m tfrec.batch recommend … -- --runner=FlinkRunner …`.
"""
