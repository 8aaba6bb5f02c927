# The image of every node of a cluster, head, workers and who submits: docker build -t REGISTRY/srpipe:0.1.0 .
# Ray's own image has what `ray up` and KubeRay need in a container; its Python environment becomes srpipe's.
FROM rayproject/ray:2.60.0-py311

WORKDIR /home/ray/srpipe
COPY --chown=ray:users pyproject.toml constraints.txt README.md LICENSE ./
COPY --chown=ray:users sr_ops sr_ops
COPY --chown=ray:users pipeline pipeline
COPY --chown=ray:users jobs jobs
RUN pip install --no-cache-dir --constraint constraints.txt '.[cluster]' && srpipe --version

# torch brings CUDA along; of the machine it needs the driver alone.
ENV RAY_AUTH_MODE=token \
    RAY_USAGE_STATS_ENABLED=0 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /home/ray
