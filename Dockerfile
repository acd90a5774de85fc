# Training and inference on NVIDIA GPUs, under Docker and Apptainer: docs/container.md.
#
# Checked without a Docker engine: tests/test_dockerfile.py lints this file with hadolint, replays ENV, WORKDIR, COPY and
# every RUN but apt-get in clean virtual environments (the dependencies as a dry run), and runs ENTRYPOINT as a user who
# may not write there. Once by hand: the dependencies installed; the wheels of constraints.txt for Python 3.12 and CUDA
# found by pip. Not checked: the base image, apt-get, a GPU.

# Its CUDA is the one of torch's wheels, which bring the CUDA libraries along: "base" has the CUDA runtime and what the
# NVIDIA container toolkit reads, "runtime" would have those libraries twice.
# By digest: --build-arg CUDA_IMAGE=nvidia/cuda:13.0.3-base-ubuntu24.04@sha256:...
ARG CUDA_IMAGE=nvidia/cuda:13.0.3-base-ubuntu24.04

FROM ${CUDA_IMAGE} AS python
# Certificates: shards on https and W&B.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates=20* python3=3.12.* python3-venv=3.12.* \
    && rm -rf /var/lib/apt/lists/*
ENV VIRTUAL_ENV=/opt/restore
ENV PATH=$VIRTUAL_ENV/bin:$PATH
ENV PIP_NO_CACHE_DIR=1
WORKDIR /opt/restore
COPY constraints.txt ./
RUN python3 -m venv .

FROM python AS wheel
RUN pip install --only-binary :all: --constraint constraints.txt hatchling
WORKDIR /build
COPY LICENSE README.md pyproject.toml ./
COPY configs configs
COPY restore_lightning restore_lightning
RUN pip wheel --no-deps --no-build-isolation --wheel-dir wheels .

FROM python
# Before the source: its changes leave this layer, by far the largest, as it is.
COPY pyproject.toml ./
RUN python -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
        extras = project["optional-dependencies"]; \
        print(*project["dependencies"], *extras["hdf5"], *extras["s3"], sep="\n")' > requirements.txt \
    && pip install --only-binary :all: --constraint constraints.txt --requirement requirements.txt
COPY --from=wheel /build/wheels wheels
RUN pip install --no-deps --no-index wheels/*.whl

# Any user may run it (docker run --user, Apptainer): nobody writes to the image, who has no home has /tmp (W&B's logs),
# and who has no name has one (torch's caches).
ENV HOME=/tmp USER=restore
WORKDIR /work
USER 1000:1000
ENTRYPOINT ["restore"]
CMD ["--help"]
