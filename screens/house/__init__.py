"""What every app of the screens has in common; imports nothing else of ours but
the one reader of ``Accept-Language``.

- ``shell``: an app from its pages: templates, assets, errors as pages.
- ``standalone``: a page that is one file, to save and to open without a network.
- ``headers``: what every answer says to the browser about itself.
- ``origin``: nothing is done on a form that another site sent.
- ``sessions``: who is logged in, kept on the server.
- ``staff``: who of an institution's own people is here.
- ``staff_login``: the same at the institution's own issuer, and what takes two persons.
- ``staff_list``: who may come in there, and what for; who has left is taken off.
- ``id_tokens``: who an ID token is about.
- ``pace``: how often one visitor, or one address, may ask.
- ``services``: services over HTTP, by a person's own token.
- ``door``: a person logs in, visits, logs out.
- ``login``: the authorization code flow with PKCE.
- ``issuers``: issuers of log-ins over HTTP.
- ``forms``: what a form sent, by a schema.
- ``marks``: what stands in a form for whom it was shown to.
- ``words``: two languages; dates, money and numbers as each writes them.
- ``charts``: pictures from numbers, with the table beside them.
- ``errors``: what goes wrong on a page, by code.
- ``reading``: for how long a text was before somebody.
- ``problems``: what each code means for whoever reads it.
"""
