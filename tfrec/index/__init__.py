"""Top-k over the catalogue, as graph layers."""
