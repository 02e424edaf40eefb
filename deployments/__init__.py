"""How Overnight is started: the server, the worker, what they run, and the demo."""
