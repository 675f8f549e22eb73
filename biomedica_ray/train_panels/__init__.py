"""Training of the networks that find panels and read their letters, on figures that are composed as it goes."""
