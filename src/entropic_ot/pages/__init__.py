"""Static pages of results: tables, published numbers, figures and settings as HTML. No torch."""
