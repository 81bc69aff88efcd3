"""Pages for a browser: one of a run, one that compares."""
