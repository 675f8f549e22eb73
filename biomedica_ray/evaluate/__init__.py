"""What a trained model knows: zero-shot classification and retrieval on held-out figures."""
