"""Only order: a flow reads as a paragraph."""
