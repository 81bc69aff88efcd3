"""Features of one side, user or item, to one vector."""
