"""What a larger run would take, from what a smaller one took."""
