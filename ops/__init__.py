"""Running a process: settings, serving, workers, metrics, the request log, certificates, and what a
doctor looks at.

- ``settings``      of every service: a file in its home, the environment, flags
- ``named_files``   files that somebody named: read, or refused in one sentence
- ``http``          where HTTP comes in: body limits, problem documents
- ``serving``       one application under uvicorn until a signal; ``workers`` several processes that
                    share a socket
- ``gathering``     questions of many callers that are answered together
- ``processes``     children that end with their parent, free ports
- ``health``        ``/healthz`` of a service that has no HTTP of its own
- ``metrics``       what services count, for Prometheus; ``exposition`` where it asks for them
- ``logs``          what a process says of itself, as lines of JSON
- ``request_log``   one line of JSON per request
- ``certificates``  shown by a service, renewed while it runs
- ``doctor``        findings: what was looked at, how it is, what to do
"""
