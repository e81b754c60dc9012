"""One file a topic; each has `run(bench)`."""
