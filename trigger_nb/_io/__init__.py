"""What a run function sees."""
