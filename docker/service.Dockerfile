# The small services, without torch: gateway, conductor, compiler and distiller workers, Flower, the command line.
#
#   docker build -f docker/service.Dockerfile -t longthought/service .
#
# Locks come before source: a change of the source rebuilds the last layers only. Which service runs is the command's choice.
ARG PYTHON=docker.io/library/python:3.11-slim

FROM ${PYTHON} AS locks
RUN python -m venv /opt/venv
COPY requirements/gateway.txt requirements/worker.txt requirements/site.txt /locks/
RUN /opt/venv/bin/pip install --no-cache-dir --no-deps -r /locks/gateway.txt -r /locks/worker.txt -r /locks/site.txt

FROM ${PYTHON} AS package
COPY pyproject.toml README.md LICENSE /source/
COPY services /source/services
COPY shared /source/shared
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheel /source

FROM ${PYTHON}
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="longthought-service" \
      org.opencontainers.image.description="longthought: gateway, conductor, compiler, distiller" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
# tini is process 1: it hands SIGTERM on and reaps orphans.
RUN apt-get update && apt-get install --yes --no-install-recommends tini && rm -rf /var/lib/apt/lists/*
RUN groupadd --gid 10001 longthought \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/longthought --shell /usr/sbin/nologin longthought \
    && install --directory --owner 10001 --group 10001 /var/lib/longthought /var/lib/longthought/artifacts /var/cache/longthought
COPY --from=locks /opt/venv /opt/venv
RUN --mount=type=bind,from=package,source=/wheel,target=/wheel \
    /opt/venv/bin/pip install --no-cache-dir --no-deps --no-index /wheel/*.whl
COPY recipes /opt/longthought/recipes
ENV PATH=/opt/venv/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    LONGTHOUGHT_ARTIFACTS_URL=file:///var/lib/longthought/artifacts \
    LONGTHOUGHT_CACHE_DIR=/var/cache/longthought \
    LONGTHOUGHT_LOG_FORMAT=json
WORKDIR /opt/longthought
USER 10001:10001
ENTRYPOINT ["tini", "--"]
CMD ["longthought", "--help"]
