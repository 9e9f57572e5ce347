#!/bin/sh
# Starts JupyterLab in the notebook image. Arguments go to JupyterLab.
#
# Inside a container it has to listen on all interfaces, so it is never without a token: the one in LABKIT_TOKEN, or a
# random one that JupyterLab prints. An empty LABKIT_TOKEN counts as none given.
set -eu

if [ -n "${LABKIT_TOKEN:-}" ]; then export JUPYTER_TOKEN="$LABKIT_TOKEN"; fi
unset LABKIT_TOKEN

exec python -m jupyterlab --ip=0.0.0.0 --port=8888 --ServerApp.port_retries=0 --no-browser \
    --ServerApp.root_dir="$HOME" --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb "$@"
