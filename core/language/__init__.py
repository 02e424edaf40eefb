"""A model that reads and answers: where it comes from, how it is loaded, and how it chooses among letters."""
