"""TensorFlow Recommenders' tasks, callable from Keras 3."""
