"""The report: one HTML file of what was extracted, dropped, labelled and learned, and its summary in the terminal."""
