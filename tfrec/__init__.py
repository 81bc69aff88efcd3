"""tfrec: recommenders built on pretrained text backbones, from tables to TensorFlow Serving."""

import os

__version__ = "0.1.0"

# TensorFlow Recommenders still stands on Keras 2 (tf-keras). TensorFlow reads this switch once, when it
# first needs Keras, so it is set here, before any module of tfrec can import TensorFlow.
# `import keras` is Keras 3 all the same. See docs/decisions/0001-keras-3-beside-tfrs.md.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
# On a machine without a GPU TensorFlow's C++ side reports just that as an error; what matters reaches Python as an
# exception.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
