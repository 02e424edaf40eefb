"""A page on which people rate by hand what a dashboard shows."""
