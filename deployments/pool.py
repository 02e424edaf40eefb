"""The work pool of this machine."""

POOL = "local"
"""Its runs are processes here. Other kinds of pools (docker, kubernetes) have names of their own."""
