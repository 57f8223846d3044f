"""The HTTP surface: one module per dialect or subject, each with the routes it adds."""
