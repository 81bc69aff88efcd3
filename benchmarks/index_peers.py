"""What `index.py` asks of faiss and ScaNN, in environments of their own: a line of JSON.

python benchmarks/index_peers.py faiss|scann VECTORS.npz RECALL TOP_K BATCH_SIZE ...
"""

import json
import statistics
import sys
import time

import numpy as np


def main() -> None:
    name, file, recall, top_k = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
    sizes = [int(size) for size in sys.argv[5:]]
    with np.load(file) as arrays:
        vectors, queries = arrays["vectors"], arrays["queries"]
    expected = np.argsort(-(queries @ vectors.T), axis=1)[:, :top_k]
    started = time.perf_counter()
    title, search, megabytes = {"faiss": with_faiss, "scann": with_scann}[name](vectors, top_k)
    seconds = time.perf_counter() - started
    probes = 1
    while True:
        found = np.concatenate([search(part, probes) for part in np.array_split(queries, 8)])
        reached = float(np.mean([np.isin(row, others).mean() for row, others in zip(expected, found, strict=True)]))
        if reached >= recall or probes >= 4096:
            break
        probes = max(probes + 1, probes * 5 // 4)
    told = {"name": f"{title}, {probes} probes", "recall": reached, "build_s": seconds, "mb": megabytes, "ms": {}}
    for size in sizes:
        medians = []
        for _ in range(6):
            calls = []
            for _ in range(10):
                started = time.perf_counter()
                search(queries[:size], probes)
                calls.append(time.perf_counter() - started)
            medians.append(statistics.median(calls))
        told["ms"][size] = 1000 * statistics.median(medians[1:])
    print(json.dumps(told))


def with_faiss(vectors, top_k):
    import faiss

    lists = 4096
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(vectors.shape[1]), vectors.shape[1], lists, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors[np.random.default_rng(0).permutation(len(vectors))[: 64 * lists]])
    index.add(vectors)

    def search(queries, probes):
        index.nprobe = probes
        return index.search(queries, top_k)[1]

    return f"faiss IVFFlat, {lists} lists", search, vectors.nbytes / 1e6


def with_scann(vectors, top_k):
    import scann

    lists = 2000
    builder = scann.scann_ops_pybind.builder(vectors, top_k, "dot_product")
    searcher = (
        builder.tree(num_leaves=lists, num_leaves_to_search=10, training_sample_size=250_000)
        .score_ah(2, anisotropic_quantization_threshold=0.2)
        .reorder(4 * top_k)
        .build()
    )

    def search(queries, probes):
        return searcher.search_batched(queries, leaves_to_search=probes)[0]

    return f"ScaNN, {lists} leaves", search, vectors.nbytes * (1 + 1 / 16) / 1e6


if __name__ == "__main__":
    main()
