"""Panels: where the parts of a compound figure are, and which letters of the caption they have."""
