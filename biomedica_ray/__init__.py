"""PubMed Central figures as an image-text dataset, and CLIP models trained on it, on Ray."""
