"""Watching a released model and what is lent by it, over lenders who show one another no portfolio.
Pure: counts with known noise in, figures with their error out.

- ``cells``     which cells each person is counted in: what a lender's node would run of it
- ``shares``    shares of noisy counts, with intervals
- ``intake``    who comes through the door: stability indices without the noise's bias
- ``vintages``  how the loans of a cohort age; a month's events beside what was expected
- ``bands``     observed beside expected and decisions by score band; roll rates
- ``segments``  the same of thin files, age bands, regions
- ``alarms``    which figures moved: effect, significance, two periods
- ``causes``    what moved them, and a sentence for a person
- ``released``  the files of released figures, and of what one lender put in
- ``readings``  released figures as people read them: each period, what moved, a light
- ``plan``      what a year of it costs a person, beside training
- ``economy``   public series beside it, and what they would do to a vintage
- ``errors``    what cannot be said, and why
"""
