"""One module a stage: a task is retries, a cache, an artifact, and one call into core."""
