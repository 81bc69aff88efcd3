"""Pretrained text encoders: where their weights come from, and how a text becomes a vector."""
