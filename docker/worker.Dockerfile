# Workers with an engine: searcher and evaluator, each with a vLLM server of its own as a child process.
#
#   docker build -f docker/worker.Dockerfile -t longthought/worker .                              on NVIDIA GPUs
#   docker build -f docker/worker.Dockerfile -t longthought/worker-cpu --build-arg ENGINE=cpu .   on CPUs
#
# Locks come before source: a change of the source rebuilds the last layers only, not the gigabytes below them.
ARG PYTHON=docker.io/library/python:3.11-slim

FROM ${PYTHON} AS locks
ARG ENGINE=gpu
# Where torch's CPU builds are, should pip's own indexes not have them.
ARG TORCH_CPU_INDEX=https://download.pytorch.org/whl/cpu
RUN python -m venv /opt/venv
COPY requirements/worker.txt requirements/${ENGINE}-engine.txt /locks/
# torch goes first: on its own, an index that lacks its CPU build is found out in one question.
RUN install="/opt/venv/bin/pip install --no-cache-dir --no-deps"; \
    torch=$(grep -o '^torch==[^ ;]*' /locks/${ENGINE}-engine.txt); \
    ${install} "${torch}" || ${install} --extra-index-url "${TORCH_CPU_INDEX}" "${torch}"
RUN /opt/venv/bin/pip install --no-cache-dir --no-deps -r /locks/worker.txt -r /locks/${ENGINE}-engine.txt

FROM ${PYTHON} AS package
COPY pyproject.toml README.md LICENSE /source/
COPY services /source/services
COPY shared /source/shared
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheel /source

FROM ${PYTHON}
ARG ENGINE=gpu
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="longthought-worker-${ENGINE}" \
      org.opencontainers.image.description="longthought: searcher and evaluator, with vLLM (${ENGINE})" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
# tini is process 1: it hands SIGTERM on and reaps orphans. vLLM's CPU build links libnuma. On a GPU, Triton compiles the launchers of
# its kernels when they are first used, so that image alone keeps a C compiler.
RUN apt-get update \
    && if [ "${ENGINE}" = cpu ]; then engine="libnuma1"; else engine="gcc libc6-dev"; fi \
    && apt-get install --yes --no-install-recommends tini ${engine} \
    && rm -rf /var/lib/apt/lists/*
RUN groupadd --gid 10001 longthought \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/longthought --shell /usr/sbin/nologin longthought \
    && install --directory --owner 10001 --group 10001 /var/lib/longthought /var/lib/longthought/artifacts /var/cache/longthought
COPY --from=locks /opt/venv /opt/venv
RUN --mount=type=bind,from=package,source=/wheel,target=/wheel \
    /opt/venv/bin/pip install --no-cache-dir --no-deps --no-index /wheel/*.whl
# Home is the cache folder, a volume: whatever libraries keep for later (models, compiled kernels) lies there, and the rest can be read-only.
ENV PATH=/opt/venv/bin:${PATH} \
    HOME=/var/cache/longthought \
    PYTHONUNBUFFERED=1 \
    VLLM_NO_USAGE_STATS=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    LONGTHOUGHT_ARTIFACTS_URL=file:///var/lib/longthought/artifacts \
    LONGTHOUGHT_CACHE_DIR=/var/cache/longthought \
    LONGTHOUGHT_ENGINE_LOG_DIR=/var/cache/longthought/logs \
    LONGTHOUGHT_LOG_FORMAT=json
WORKDIR /var/lib/longthought
USER 10001:10001
ENTRYPOINT ["tini", "--"]
CMD ["python", "-m", "shared.work.worker", "--services", "searcher,evaluator"]
