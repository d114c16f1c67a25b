"""EIA's weekly figures: where they come from, and the simulated sample that stands in where nobody can reach them."""
