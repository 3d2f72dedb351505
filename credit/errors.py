"""What can go wrong in this room."""


class FeatureError(Exception):
    """A feature schema or a table does not fit: says which column and what to do."""


class ModelError(Exception):
    """A model file or parameter vector does not fit its specification."""
