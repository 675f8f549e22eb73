"""From a source to catalog, articles, figures and errors."""
