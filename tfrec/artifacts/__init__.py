"""The trained model as one SavedModel that TensorFlow Serving loads."""
