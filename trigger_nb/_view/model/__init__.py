"""The rows of a run, as the view knows them."""
