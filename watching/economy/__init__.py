"""The economy beside what is watched: public series, and what they would do to a vintage. Pure, but
for packaged data.

- ``series``   dated, sourced series of months, packaged and imported
- ``overlay``  the bad rate of vintages on a few series: coefficients with errors, and scenarios
"""
