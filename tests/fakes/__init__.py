"""Local stand-ins that speak the real protocols."""
