"""The processing image: the counterfactual."""
