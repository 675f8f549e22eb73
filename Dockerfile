# syntax=docker/dockerfile:1
# The locked environment and the code, for Ray nodes in containers. docs/kubernetes.md has the commands.
#
#   docker build --tag biomedica_ray:gpu .                                  torch with CUDA; the driver comes with the node
#   docker build --tag biomedica_ray:cpu --build-arg TORCH_BACKEND=cpu .    some 5 GB less, for nodes without a GPU

ARG PYTHON_VERSION=3.11
ARG UV_VERSION=0.13.9

FROM ghcr.io/astral-sh/uv:${UV_VERSION} AS uv

FROM python:${PYTHON_VERSION}-slim-bookworm AS environment
COPY --from=uv /uv /usr/local/bin/uv
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never VIRTUAL_ENV=/opt/env
WORKDIR /src
# Packages before code: a change of the code leaves the layer of gigabytes as it is.
COPY pyproject.toml constraints.txt ./
ARG TORCH_BACKEND=
RUN --mount=type=cache,target=/root/.cache/uv \
    uv venv /opt/env \
    && uv pip install ${TORCH_BACKEND:+--torch-backend=${TORCH_BACKEND}} -c constraints.txt -r pyproject.toml \
       --extra annotate --extra train --extra hf --extra evaluate --extra report --extra sample --extra trackers
COPY README.md LICENSE ./
COPY biomedica_ray biomedica_ray
RUN --mount=type=cache,target=/root/.cache/uv uv pip install --no-deps .

FROM python:${PYTHON_VERSION}-slim-bookworm
ARG VERSION=
ARG REVISION=
LABEL org.opencontainers.image.title="biomedica_ray" \
      org.opencontainers.image.description="Ray nodes for extraction, annotation and training of biomedical image-text data" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# KubeRay's probes of a node are calls of wget. Debian removes old versions from its mirrors, so that a pinned one is soon gone.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --no-install-recommends --yes wget \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --create-home ray \
    && echo "PATH=/opt/env/bin:\$PATH" > /etc/profile.d/environment.sh
COPY --from=environment /opt/env /opt/env
COPY jobs /opt/biomedica/jobs
# The NVIDIA runtime mounts the driver of the node where these ask for it, and GKE's device plugin at the path of libraries; without a
# GPU they do nothing.
ENV PATH=/opt/env/bin:$PATH LD_LIBRARY_PATH=/usr/local/nvidia/lib64 NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility PYTHONUNBUFFERED=1
USER 1000
WORKDIR /home/ray
CMD ["biomedica", "--help"]
