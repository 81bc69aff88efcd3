"""From a Dataset to tensors: vocabularies, text, columns, sequences."""
