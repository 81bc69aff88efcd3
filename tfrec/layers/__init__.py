"""Small Keras layers that towers and models share."""
