"""All loans of a lender together: how they age, what they teach, whether the model is right.

- ``vintages``    cumulative bad by age of the loans of one month; their first payments
- ``book``        roll rates, decisions, groups
- ``losses``      stages, and what is expected to be lost
- ``challengers``  a policy that was tried beside the one in use
- ``labels``      a loan book with mature labels, to train on
- ``monitoring``  who comes, whether the model is right, what it expects before labels arrive
"""
