"""A dashboard that learns from thumbs which widget answers a question, and how it should look."""
