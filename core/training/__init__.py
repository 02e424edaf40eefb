"""Training language models on groups: one prompt, several completions, a score for each."""
