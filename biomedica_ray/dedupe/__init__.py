"""Articles and figures that repeat others, found over slim columns and never over image bytes."""
