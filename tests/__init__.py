import tfrec  # noqa: F401  First of all: it makes the settings that TensorFlow reads when it is imported.
