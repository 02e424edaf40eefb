"""Small servers on this machine for apps and people."""
