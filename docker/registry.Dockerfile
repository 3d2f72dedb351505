FROM python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE tahini.py ./
COPY clients clients
COPY consent consent
COPY credit credit
COPY crypto crypto
COPY demo demo
COPY privacy privacy
COPY server server
RUN python -m venv /opt/tahini \
 && /opt/tahini/bin/pip install --no-cache-dir "torch==2.13.0" \
 && /opt/tahini/bin/pip install --no-cache-dir .

FROM python:3.11-slim
RUN useradd --create-home --uid 10001 tahini
COPY --from=build /opt/tahini /opt/tahini
USER tahini
WORKDIR /home/tahini
VOLUME /home/tahini/registry
EXPOSE 8700
HEALTHCHECK --interval=10s --timeout=3s CMD ["/opt/tahini/bin/python", "-c", "import httpx; httpx.get('http://127.0.0.1:8700/healthz').raise_for_status()"]
ENTRYPOINT ["/opt/tahini/bin/tahini", "registry", "serve", "--host", "0.0.0.0", "--home", "/home/tahini/registry"]
