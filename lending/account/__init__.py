"""The account of a loan: a fold of what happened to it.

- ``events``, ``states``     a contract, what can happen to a loan, what may follow what
- ``records``                contracts and events as they are stored
- ``balances``, ``fold``     balances and two arrears clocks, folded from events
- ``rows``                   what each due still asks for
- ``restructuring``          what an extension and another plan do to those rows
- ``allocation``             in which order a payment is used
- ``extension``              when a loan may be given more time
- ``early``                  what repays a whole loan before its end
- ``default``                one definition of bad, for labels and for monitoring
"""
