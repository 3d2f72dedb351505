"""What several apps show of the protocol's documents; the house style knows none of them.

- ``parties``: what parties are called, and how people reach them.
- ``model_cards``: a model card, whoever reads it.
- ``findings``: what a doctor looks at, and why it matters.
- ``terms``: what loans are asked for, and what consents are about.
"""
