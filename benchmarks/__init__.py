"""What Overnight claims in numbers, each measured against something in the same run."""
