# The command in a container: docker build -t crossgate . && docker run --rm -v "$PWD":/work crossgate run
FROM python:3.13-slim
COPY . /src
RUN pip install --no-cache-dir /src && rm -rf /src
WORKDIR /work
# Compiled kernels and results are kept here: add -v crossgate-cache:/cache to keep them between containers.
ENV XDG_CACHE_HOME=/cache CROSSGATE_CACHE=/cache/crossgate
ENTRYPOINT ["crossgate"]
CMD ["--help"]
