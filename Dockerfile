# syntax=docker/dockerfile:1
# One image for the API and the workers. CUDA's libraries come with torch's own wheel, and the NVIDIA container
# runtime brings the driver, so a slim Python is base enough; without a GPU the same image computes on the CPU.

# Pinned by tag. Where the registry can be asked, pin the digest too: python:3.11.14-slim-trixie@sha256:…
ARG PYTHON=python:3.11.14-slim-trixie

FROM ${PYTHON} AS build
ENV UV_CACHE_DIR=/cache/uv \
    UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never
RUN pip install --no-cache-dir --disable-pip-version-check uv==0.13.9
WORKDIR /src
# Dependencies first: this layer, by far the largest, is made again only when the lock changes.
COPY requirements/runtime.lock requirements/
RUN --mount=type=cache,target=/cache/uv \
    uv venv /opt/negmerge \
    && uv pip sync --python /opt/negmerge --require-hashes --compile-bytecode requirements/runtime.lock
COPY requirements/dev.lock requirements/
COPY pyproject.toml README.md ./
COPY app/ app/
COPY negmerge/ negmerge/
COPY worker/ worker/
# The build backend is checked against the hashes of dev.lock; it stays in this stage.
RUN --mount=type=cache,target=/cache/uv \
    uv build --wheel --require-hashes --build-constraints requirements/dev.lock --out-dir /wheels \
    && uv pip install --python /opt/negmerge --no-deps --compile-bytecode /wheels/*.whl

FROM ${PYTHON} AS run
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="negmerge" \
      org.opencontainers.image.description="Machine unlearning as a service: sign-consensus merging" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# The home is the data volume: what libraries cache there survives, and the rest of the file system may be read-only.
RUN groupadd --gid 10001 negmerge \
    && useradd --uid 10001 --gid negmerge --no-create-home --home-dir /var/lib/negmerge \
       --shell /usr/sbin/nologin negmerge \
    && install --directory --owner=negmerge --group=negmerge --mode=0750 /var/lib/negmerge
COPY --from=build /opt/negmerge /opt/negmerge
ENV PATH=/opt/negmerge/bin:$PATH \
    HOME=/var/lib/negmerge \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    NEGMERGE_DATA_DIR=/var/lib/negmerge \
    NEGMERGE_HOST=0.0.0.0 \
    NEGMERGE_PORT=8000
USER 10001:10001
WORKDIR /var/lib/negmerge
EXPOSE 8000
STOPSIGNAL SIGTERM
# For the API. A worker listens on nothing: whether it lives stands in the record (see docs/operations.md).
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['NEGMERGE_PORT'] + '/healthz', timeout=4)"]
CMD ["python", "-m", "app", "serve"]
