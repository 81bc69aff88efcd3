#!/bin/sh
# Serves saved_models/movies, asks it over gRPC, and stops the server. PYTHON and PORT may be set.
set -eu
python=${PYTHON:-python}
port=${PORT:-8500}

$python -m tfrec.serve --model_name movies --model_base_path saved_models/movies --port "$port" --rest_api_port 0 &
server=$!
trap 'kill $server 2>/dev/null; wait $server 2>/dev/null || true' EXIT INT TERM

ask() {
    $python -m tfrec.recommend --model movies --server "127.0.0.1:$port" --wait 120 "$@"
}

ask --history "Star Wars (1977)" --history "Raiders of the Lost Ark (1981)" --history "The Empire Strikes Back (1980)"
ask --search "a romantic comedy in Paris" --count 5
