"""The run: its folder, its devices, its epochs."""
