"""Credit policy as data, and the decisions that follow from it.

- ``conditions``   declared facts, and the cells of a decision table
- ``tables``       decision tables: three-valued, checked for gaps, overlaps and dead rows
- ``document``     a credit policy: signed, dated tables; what the law says of its facts
- ``offers``       limit, price, cost and affordability: which terms somebody may have
- ``pricing``      what real products allow and cost, agreed, shown and extended
- ``prices``       by what nobody's price is set
- ``decide``       from a case to a decision, by a policy; by a challenger, silently
- ``release``      products and what reasons compare with, as one document that decisions name
- ``replay``       a stored decision, made again and compared to the bit
- ``trying``       what a policy's tables say of somebody
- ``differences``  in what two policies differ, and for whom
- ``jdm``          a policy's tables as GoRules' JSON Decision Model, and back
"""
