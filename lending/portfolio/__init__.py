"""All loans of a lender together: how they age, what they teach, whether the model is right.

- ``vintages``    cumulative bad by age of the loans of one month
- ``book``        roll rates, stages and expected loss, decisions, groups
- ``challengers``  a policy that was tried beside the one in use
- ``labels``      a loan book with mature labels, to train on
- ``monitoring``  who comes, whether the model is right, what it expects before labels arrive
"""
