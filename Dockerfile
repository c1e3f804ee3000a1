# syntax=docker/dockerfile:1
# Two images of one wheel: `api`, without torch, and `worker`. CUDA's libraries come with torch's own wheel, and the
# NVIDIA container runtime brings the driver, so a slim Python is base enough; without a GPU a worker computes on the CPU.
#   docker build --target api .      docker build --target worker .

# Pinned by tag. Where the registry can be asked, pin the digest too: python:3.11.14-slim-trixie@sha256:…
ARG PYTHON=python:3.11.14-slim-trixie

FROM ${PYTHON} AS build
ENV UV_CACHE_DIR=/cache/uv \
    UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never
RUN pip install --no-cache-dir --disable-pip-version-check uv==0.13.9
WORKDIR /src

# The guide: docs/ as a site, which the API serves, with references made of the code. Its links are checked.
FROM build AS guide
COPY requirements/guide.lock requirements/api.lock requirements/
RUN --mount=type=cache,target=/cache/uv \
    uv venv /opt/guide \
    && uv pip sync --python /opt/guide --require-hashes requirements/guide.lock requirements/api.lock
COPY mkdocs.yml ./
COPY tooling/__init__.py tooling/guide_hooks.py tooling/
COPY tooling/reference/ tooling/reference/
COPY docs/ docs/
COPY app/ app/
COPY negmerge/ negmerge/
RUN NO_MKDOCS_2_WARNING=1 /opt/guide/bin/python -m mkdocs build --quiet

# The build backend is checked against the hashes of dev.lock; it stays in this stage.
FROM build AS wheel
COPY requirements/dev.lock requirements/
COPY pyproject.toml README.md LICENSE* NOTICE* ./
COPY app/ app/
COPY --from=guide /src/app/guide/site/ app/guide/site/
COPY negmerge/ negmerge/
COPY worker/ worker/
RUN --mount=type=cache,target=/cache/uv \
    uv build --wheel --require-hashes --build-constraints requirements/dev.lock --out-dir /wheels

# Dependencies first: this layer, by far the largest, is made again only when the lock changes.
FROM build AS api-packages
COPY requirements/api.lock requirements/
RUN --mount=type=cache,target=/cache/uv \
    uv venv /opt/negmerge \
    && uv pip sync --python /opt/negmerge --require-hashes --compile-bytecode requirements/api.lock
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    uv pip install --python /opt/negmerge --no-deps --compile-bytecode /wheels/*.whl

FROM build AS worker-packages
COPY requirements/runtime.lock requirements/
RUN --mount=type=cache,target=/cache/uv \
    uv venv /opt/negmerge \
    && uv pip sync --python /opt/negmerge --require-hashes --compile-bytecode requirements/runtime.lock
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    uv pip install --python /opt/negmerge --no-deps --compile-bytecode /wheels/*.whl

FROM ${PYTHON} AS run
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="negmerge" \
      org.opencontainers.image.description="Machine unlearning as a service: sign-consensus merging" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# The home is the data volume: what libraries cache there survives, and the rest of the file system may be read-only.
RUN groupadd --gid 10001 negmerge \
    && useradd --uid 10001 --gid negmerge --no-create-home --home-dir /var/lib/negmerge \
       --shell /usr/sbin/nologin negmerge \
    && install --directory --owner=negmerge --group=negmerge --mode=0750 /var/lib/negmerge
ENV PATH=/opt/negmerge/bin:$PATH \
    HOME=/var/lib/negmerge \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NEGMERGE_DATA_DIR=/var/lib/negmerge
WORKDIR /var/lib/negmerge
STOPSIGNAL SIGTERM

FROM run AS worker
COPY --from=worker-packages /opt/negmerge /opt/negmerge
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001:10001
# It listens on nothing: whether it lives stands in the record (see docs/operations.md).
HEALTHCHECK NONE
CMD ["python", "-m", "worker"]

FROM run AS api
COPY --from=api-packages /opt/negmerge /opt/negmerge
ENV NEGMERGE_HOST=0.0.0.0 \
    NEGMERGE_PORT=8000
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['NEGMERGE_PORT'] + '/healthz', timeout=4)"]
CMD ["python", "-m", "app", "serve"]
