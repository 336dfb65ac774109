"""What `adfm bench` measures: each module times one thing against a reference in turn, in one process."""
