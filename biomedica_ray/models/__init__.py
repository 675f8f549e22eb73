"""CLIP models and image encoders by name, with weights from anywhere."""
