"""The registry's endpoints, one module per kind of caller."""
