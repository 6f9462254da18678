# An image that builds and serves indexes: CPU only, the model included, run by nobody in particular.
#
#   docker build --build-arg TORCH_INDEX=ADDRESS --tag crossrec-llm .
#
# ADDRESS is the package index of torch's CPU builds, as torch's own installation page gives it for
# "CPU": the ordinary builds for x86-64 bring gigabytes of CUDA. docs/agents.md has the rest.

ARG PYTHON=3.11.13-slim-bookworm

FROM python:${PYTHON} AS build
ARG TORCH_INDEX=""
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN if [ "$(uname -m)" = x86_64 ] && [ -z "$TORCH_INDEX" ]; then \
        echo "give --build-arg TORCH_INDEX=ADDRESS, the package index of torch's CPU builds" >&2; \
        exit 1; \
    fi \
    && python -m venv --without-pip /app
COPY constraints.txt ./
RUN python -m pip --python /app/bin/python install --constraint constraints.txt \
        ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch
COPY pyproject.toml README.md LICENSE ./
COPY crossrec_llm crossrec_llm
COPY index index
COPY prompts prompts
RUN python -m pip --python /app/bin/python install --constraint constraints.txt \
        '.[mcp,model,serve]' \
    && /app/bin/crossrec --version

FROM python:${PYTHON}
LABEL org.opencontainers.image.title="crossrec-llm" \
      org.opencontainers.image.description="A recommender that reads: within categories and across them, with reasons." \
      org.opencontainers.image.licenses="Apache-2.0"
# lightgbm brings everything but OpenMP. Debian's own version of it moves on with the base image.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && python -m pip uninstall --yes pip \
    && groupadd --gid 10001 crossrec \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin \
        crossrec \
    && install --directory --owner 10001 --group 10001 /data
COPY --from=build /app /app
# What needs writing is the index in /data, and scratch files in /tmp: the rest may be read-only.
ENV PATH="/app/bin:$PATH" \
    HOME=/tmp \
    CROSSREC_INDEX=/data/index \
    HF_HUB_OFFLINE=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["crossrec"]
CMD ["serve", "--host", "0.0.0.0", "--keys", "/data/keys.json"]
