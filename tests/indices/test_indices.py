"""What every index promises."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from tfrec.errors import InputError
from tfrec.indices import Index, build_index, exact, inverted_lists
from tfrec.indices.exact import SMALL, ExactIndex
from tfrec.indices.inverted_lists import CELL, InvertedLists, divide

NUM_ROWS, DIMENSIONS, TOP_K = SMALL + 100, 8, 20
"""So many that blocks are used, and their number leaves a rest."""


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def nothing(num_queries: int) -> np.ndarray:
    return np.zeros([num_queries, 0], np.int32)


def lists_of_all(vectors: tf.Variable) -> InvertedLists:
    """Every cell is looked at: as slow as it is exact."""
    cells = np.arange(len(vectors.numpy()), dtype=np.int32)[2:]
    cells = np.pad(cells, [0, -len(cells) % CELL]).reshape(-1, CELL)
    return InvertedLists(vectors, cells, len(cells), len(cells))


MAKERS: dict[str, Callable[[tf.Variable], Index]] = {
    "exact": ExactIndex,
    "rounded": lambda vectors: ExactIndex(vectors, is_rounded=True),
    "lists": lists_of_all,
}


@pytest.fixture(scope="module")
def vectors() -> tf.Variable:
    return tf.Variable(draw(NUM_ROWS, DIMENSIONS))


@pytest.fixture(scope="module", params=list(MAKERS))
def index(request: pytest.FixtureRequest, vectors: tf.Variable) -> Index:
    return MAKERS[request.param](vectors)


def best(products: np.ndarray, excluded: np.ndarray, top_k: int = TOP_K) -> tuple[np.ndarray, np.ndarray]:
    """By sorting all."""
    products = products.copy()
    products[:, :2] = -np.inf
    np.put_along_axis(products, excluded, -np.inf, axis=1)
    order = np.argsort(-products, axis=1, kind="stable")[:, :top_k]
    return np.take_along_axis(products, order, axis=1), order


@pytest.mark.parametrize("num_queries", [1, exact.FEW_QUERIES + 1])
@pytest.mark.parametrize("num_excluded", [0, 30])
def test_it_is_a_sort_of_what_is_allowed(
    index: Index, vectors: tf.Variable, num_queries: int, num_excluded: int
) -> None:
    queries = draw(num_queries, DIMENSIONS, seed=1)
    products = queries @ vectors.numpy().T
    # The best, so that it matters.
    excluded = np.argsort(-products, axis=1)[:, :num_excluded]
    expected, order = best(products, excluded)
    scores, indices = index(tf.constant(queries), tf.constant(excluded, tf.int32), TOP_K)
    np.testing.assert_allclose(scores, expected, atol=2**-6)
    np.testing.assert_allclose(np.take_along_axis(products, indices.numpy(), axis=1), scores, atol=1e-5)
    found = np.mean([np.isin(row, others).mean() for row, others in zip(order, indices.numpy(), strict=True)])
    assert found == 1 if isinstance(index, ExactIndex) and index.factor == 1 else found > 0.9
    assert not any(np.isin(row, bad).any() for row, bad in zip(indices.numpy(), excluded, strict=True))
    assert (np.diff(scores, axis=1) <= 0).all() and (indices.numpy() >= 2).all()


def test_padding_among_the_excluded_excludes_nothing(index: Index) -> None:
    queries = tf.constant(draw(3, DIMENSIONS, seed=1))
    without = index(queries, tf.zeros([3, 0], tf.int32), TOP_K)
    padded = index(queries, tf.constant([[0, 1, 0]] * 3), TOP_K)
    for first, second in zip(without, padded, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("num_queries", [1, 9])
def test_only_what_is_allowed_is_found(index: Index, vectors: tf.Variable, num_queries: int) -> None:
    queries = draw(num_queries, DIMENSIONS, seed=1)
    products = queries @ vectors.numpy().T
    # The first query may have nine items; the others half of all.
    allowed = np.random.default_rng(3).random(products.shape) < 0.5
    allowed[0] = False
    allowed[0, [0, 1, 2, 300, 301, 302, 5_000, 20_000, NUM_ROWS - 2, NUM_ROWS - 1]] = True
    expected, order = best(np.where(allowed, products, -np.inf), nothing(num_queries))
    scores, indices = index(tf.constant(queries), tf.constant(nothing(num_queries)), TOP_K, tf.constant(allowed))
    assert indices.numpy()[0].tolist() == [*order[0, :8], *[0] * (TOP_K - 8)]
    np.testing.assert_allclose(scores[0, :8], expected[0, :8], atol=1e-5)
    np.testing.assert_allclose(scores[1:], expected[1:], atol=2**-6)
    assert all(may[found].all() for may, found in zip(allowed[1:], indices.numpy()[1:], strict=True))


@pytest.mark.parametrize("number", [100, 2_000])
def test_the_very_best_are_excluded(index: Index, vectors: tf.Variable, number: int) -> None:
    queries = draw(3, DIMENSIONS, seed=4)
    products = queries @ vectors.numpy().T
    _, excluded = best(products, nothing(3), number)
    _, order = best(products, excluded)
    _, found = index(tf.constant(queries), tf.constant(excluded, tf.int32), TOP_K)
    np.testing.assert_array_equal(found, order)


def test_as_much_is_excluded_as_there_is(index: Index) -> None:
    queries = tf.constant(draw(2, DIMENSIONS, seed=1))
    padding = tf.zeros([2, NUM_ROWS], tf.int32)
    for first, second in zip(
        index(queries, tf.zeros([2, 0], tf.int32), TOP_K), index(queries, padding, TOP_K), strict=True
    ):
        np.testing.assert_allclose(first, second, rtol=1e-5)
    # All but five.
    rest = [7, 300, 301, 5_000, NUM_ROWS - 1]
    others = np.setdiff1d(np.arange(2, NUM_ROWS), rest).astype(np.int32)
    _, indices = index(queries, tf.constant(np.tile(others, (2, 1))), TOP_K)
    assert [sorted(row) for row in indices.numpy().tolist()] == [[0] * (TOP_K - 5) + rest] * 2


def test_a_query_that_is_no_number_leaves_the_others_alone(index: Index) -> None:
    queries = draw(6, DIMENSIONS, seed=1)
    _, expected = index(tf.constant(queries), tf.zeros([6, 0], tf.int32), TOP_K)
    queries[2] = np.nan
    _, indices = index(tf.constant(queries), tf.zeros([6, 0], tf.int32), TOP_K)
    np.testing.assert_array_equal(np.delete(indices, 2, axis=0), np.delete(expected, 2, axis=0))


def test_of_equal_scores_the_first_of_the_catalogue_comes_first() -> None:
    vectors = np.zeros((NUM_ROWS, 2), np.float32)
    vectors[[9, 700, 20_000, 30_000], 0] = [1, 2, 1, 2]
    _, indices = ExactIndex(tf.Variable(vectors))(tf.constant([[1.0, 0]]), tf.zeros([1, 0], tf.int32), 4)
    assert indices.numpy().tolist() == [[700, 30_000, 9, 20_000]]


def test_inside_a_graph_with_any_batch(index: Index) -> None:
    serve = tf.function(
        lambda queries, excluded: index(queries, excluded, TOP_K),
        input_signature=[tf.TensorSpec([None, DIMENSIONS], tf.float32), tf.TensorSpec([None, None], tf.int32)],
    )
    queries = draw(7, DIMENSIONS, seed=2)
    _, together = serve(tf.constant(queries), tf.zeros([7, 1], tf.int32))
    for number in (0, 1, 7):
        _, alone = serve(tf.constant(queries[:number]), tf.zeros([number, 1], tf.int32))
        np.testing.assert_array_equal(alone, together[:number])


def test_many_queries_are_answered_in_turn(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    queries = tf.constant(draw(11, DIMENSIONS, seed=3))
    excluded = tf.constant(np.arange(33).reshape(11, 3), tf.int32)
    expected = index(queries, excluded, TOP_K)
    monkeypatch.setattr(exact, "SCORES_AT_ONCE", 4 * NUM_ROWS)
    monkeypatch.setattr(inverted_lists, "COMPONENTS_AT_ONCE", 0)
    for first, second in zip(expected, index(queries, excluded, TOP_K), strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-5)


def test_of_few_items_all_are_sorted_at_once() -> None:
    vectors = tf.Variable([[9.0, 9], [9, 9], [1, 0], [0, 1], [3, 3]])
    for make in MAKERS.values():
        scores, indices = make(vectors)(tf.constant([[1.0, 2], [1, 0]]), tf.constant([[4], [0]]), 4)
        np.testing.assert_allclose(scores, [[2, 1, 0, 0], [3, 1, 0, 0]], rtol=1e-6)
        # The last of the second row is the item with the product 0; of the first there is none.
        assert indices.numpy().tolist() == [[3, 2, 0, 0], [4, 2, 3, 0]]


class TestLists:
    def test_each_item_is_in_one_cell(self) -> None:
        cells = divide(draw(20_003, DIMENSIONS))
        assert cells.shape[1] == CELL
        items = cells[cells != 0]
        assert sorted(items.tolist()) == list(range(2, 20_003))
        assert (cells != 0).any(axis=1).all()

    def test_cells_hold_what_is_alike(self) -> None:
        vectors = draw(20_003, 3)
        cells = divide(vectors)
        full = cells[(cells != 0).all(axis=1)]
        within = np.linalg.norm(vectors[full] - vectors[full].mean(axis=1, keepdims=True), axis=2).mean()
        # 16 of 20,000 points spread evenly on a sphere share a cap of the angle 2 * asin(sqrt(16 / 20000)) = .057.
        assert within < 0.06

    @pytest.mark.parametrize("few_cells", [8, 100, 2_000])
    def test_cells_of_cells_find_what_lies_near(self, few_cells: int) -> None:
        # Of points spread evenly on a sphere those nearest to one lie around it, in cells that are near.
        vectors, queries = tf.Variable(draw(10_003, 3)), draw(40, 3, seed=1)
        lists = InvertedLists(vectors, divide(vectors.numpy()), 20, few_cells)
        held = sum(int(np.prod(each.shape)) for each in lists.variables if each.dtype == tf.float32)
        # Every mean of 16 or fewer, of these means, and so on; the items are there once.
        assert vectors.shape[0] * 3 < held < vectors.shape[0] * 3 * 1.2
        excluded = np.argsort(-(queries @ vectors.numpy().T), axis=1)[:, :5]
        _, order = best(queries @ vectors.numpy().T, excluded)
        scores, found = lists(tf.constant(queries), tf.constant(excluded, tf.int32), TOP_K)
        assert np.mean([np.isin(row, others).mean() for row, others in zip(order, found.numpy(), strict=True)]) > 0.95
        np.testing.assert_allclose(
            scores, np.take_along_axis(queries @ vectors.numpy().T, found.numpy(), axis=1), rtol=1e-5
        )

    def test_many_queries_may_look_at_all_means(self) -> None:
        vectors, queries = (
            tf.Variable(draw(10_003, DIMENSIONS)),
            draw(inverted_lists.FEW_QUERIES + 1, DIMENSIONS, seed=1),
        )
        cells = divide(vectors.numpy())
        lists = InvertedLists(vectors, cells, 20, 100)
        # So many cells that for many the answer is exact; of few it stays as it is.
        before = lists(tf.constant(queries[:-1]), tf.constant(nothing(len(queries) - 1)), 100)
        lists.num_probes_of_all = len(cells)
        _, order = best(queries @ vectors.numpy().T, nothing(len(queries)), 100)
        _, found = lists(tf.constant(queries), tf.constant(nothing(len(queries))), 100)
        np.testing.assert_array_equal(found, order)
        after = lists(tf.constant(queries[:-1]), tf.constant(nothing(len(queries) - 1)), 100)
        np.testing.assert_array_equal(before[1], after[1])
        assert (after[1].numpy() != order[:-1]).any()

    def test_each_way_down_is_taken_where_it_pays(self, monkeypatch: pytest.MonkeyPatch) -> None:
        vectors, queries = tf.Variable(draw(10_000, 3)), draw(16, 3, seed=1)
        monkeypatch.setattr("tfrec.indices.FEW_CELLS", 100)
        expected = {(8, 8): False, (8, 10_000): True, (10_000, 10_000): True}
        for (deep, deep_of_many), looks_at_all in expected.items():
            monkeypatch.setattr("tfrec.indices.FEWEST_DEEP", deep)
            monkeypatch.setattr("tfrec.indices.FEWEST_DEEP_OF_MANY", deep_of_many)
            facts = build_index(vectors, queries, nothing(16), TOP_K, "lists", recall=0.99).facts
            assert ("num_probes_of_all" in facts) == looks_at_all, facts

    def test_equal_items_are_divided_too(self) -> None:
        cells = divide(np.ones((1_000, 4), np.float32))
        assert sorted(cells[cells != 0].tolist()) == list(range(2, 1_000))

    def test_k_means_is_never_of_many_that_are_nearly_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # As of a model of ids alone, most of which it never saw: its cost is the square of what is in a cluster.
        monkeypatch.setattr(inverted_lists, "CLUSTER", 500)
        vectors = np.ones((6_002, 4), np.float32) + 1e-3 * draw(6_002, 4)
        vectors[::100] = 100 * draw(61, 4)
        cluster, sizes = inverted_lists._cluster, []

        def counted(vectors: np.ndarray, items: np.ndarray, size: int, generator: np.random.Generator) -> list:
            sizes.append((size, len(items)))
            return cluster(vectors, items, size, generator)

        monkeypatch.setattr(inverted_lists, "_cluster", counted)
        cells = divide(vectors)
        assert sorted(cells[cells != 0].tolist()) == list(range(2, 6_002))
        assert sizes[0] == (500, 6_000) and len(sizes) > 5
        assert all(number <= 1_000 for size, number in sizes[1:])

    def test_as_many_probes_as_the_recall_takes(self) -> None:
        vectors, queries = tf.Variable(draw(10_000, DIMENSIONS)), draw(32, DIMENSIONS, seed=1)
        few = build_index(vectors, queries, nothing(32), TOP_K, "lists", recall=0.3)
        many = build_index(vectors, queries, nothing(32), TOP_K, "lists", recall=0.99)
        assert 0.3 <= few.facts[f"recall@{TOP_K}"] < 0.99 <= many.facts[f"recall@{TOP_K}"]  # type: ignore[operator]
        assert few.facts["num_probes"] < many.facts["num_probes"] <= many.facts["num_cells"]  # type: ignore[operator]
        # What the card says is what it does.
        products = queries @ vectors.numpy().T
        _, order = best(products, np.zeros((32, 1), int))
        _, found = few.index(tf.constant(queries), tf.zeros([32, 0], tf.int32), TOP_K)
        shares = [np.isin(row, others).mean() for row, others in zip(order, found.numpy(), strict=True)]
        assert np.mean(shares) == pytest.approx(few.facts[f"recall@{TOP_K}"], abs=1e-3)

    def test_what_is_exact_only_in_company_does_not_count(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # The cells of the first query hold one item each, too few for an answer: all 32 are answered exactly.
        vectors, queries = draw(10_002, DIMENSIONS), draw(32, DIMENSIONS, seed=1)
        order = 2 + np.argsort(-(vectors[2:] @ queries[0]), kind="stable")
        alone = np.pad(order[:32].reshape(32, 1), [[0, 0], [0, CELL - 1]])
        cells = np.concatenate([alone, order[32:].reshape(-1, CELL)]).astype(np.int32)
        monkeypatch.setattr("tfrec.indices.divide", lambda _: cells)
        built = build_index(tf.Variable(vectors), queries, nothing(32), TOP_K, "lists", recall=0.1)
        _, expected = best(queries @ vectors.T, nothing(32))
        together = built.index(tf.constant(queries), tf.constant(nothing(32)), TOP_K)[1]
        np.testing.assert_array_equal(together, expected)
        found = [built.index(tf.constant(query[None]), tf.constant(nothing(1)), TOP_K)[1][0] for query in queries]
        shares = [np.isin(row, others).mean() for row, others in zip(expected, found, strict=True)]
        assert shares[0] == 1 and np.mean(shares) < 0.5
        assert built.facts[f"recall@{TOP_K}"] == pytest.approx(np.mean(shares))


def test_the_size_of_the_catalogue_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, queries = tf.Variable(draw(1_002, DIMENSIONS)), draw(8, DIMENSIONS)
    assert build_index(vectors, queries, nothing(8), TOP_K).facts == {"kind": "exact"}
    monkeypatch.setattr("tfrec.indices.MANY_ITEMS", 1_000)
    # A hundred items, each many times, are found in few cells; items of random directions are not.
    alike = tf.Variable(np.repeat(draw(100, DIMENSIONS), 100, axis=0))
    monkeypatch.setattr("tfrec.indices.FEWEST_CELLS", 16)
    assert build_index(alike, queries, nothing(8), TOP_K, recall=0.1).facts["kind"] == "lists"
    assert build_index(vectors, queries, nothing(8), TOP_K).facts["kind"] == "exact"
    rounded = build_index(vectors, queries, nothing(8), TOP_K, "rounded").facts
    assert rounded == {"kind": "rounded", f"recall@{TOP_K}": 1.0, "num_looked_at_again": 30}


def test_as_many_are_looked_at_again_as_it_takes() -> None:
    # Items in one spot are all the same in 8 bits.
    queries = draw(1, DIMENSIONS) + 0.1 * draw(8, DIMENSIONS, seed=3)
    facts = []
    for number in (0, 100, 800):
        spot = draw(1, DIMENSIONS) + 0.005 * draw(number, DIMENSIONS, seed=1)
        vectors = tf.Variable(np.concatenate([draw(NUM_ROWS - number, DIMENSIONS, seed=2), spot]))
        facts.append(build_index(vectors, queries, nothing(8), TOP_K, "rounded").facts)
    assert facts[0]["num_looked_at_again"] == 30 < facts[1]["num_looked_at_again"]
    assert facts[2] == {"kind": "exact"}


def test_catalogues_of_several_sizes_are_rounded_in_one_process() -> None:
    queries = draw(4, DIMENSIONS, seed=1)
    for number in (NUM_ROWS, 2 * NUM_ROWS, NUM_ROWS + 16):
        vectors = tf.Variable(draw(number, DIMENSIONS))
        _, order = best(queries @ vectors.numpy().T, nothing(4))
        built = build_index(vectors, queries, nothing(4), TOP_K, "rounded")
        find = tf.function(built.index, autograph=False)
        np.testing.assert_array_equal(find(tf.constant(queries), tf.constant(nothing(4)), TOP_K)[1], order)


def test_without_onednn_rounded_is_refused(vectors: tf.Variable, monkeypatch: pytest.MonkeyPatch) -> None:
    def has_no_kernel(*_: object) -> None:
        raise tf.errors.InternalError(None, None, "Missing 0-th output")

    monkeypatch.setattr("tfrec.indices.rounded._multiply", has_no_kernel)
    with pytest.raises(InputError, match="TF_ENABLE_ONEDNN_OPTS=1"):
        build_index(vectors, draw(1, DIMENSIONS), nothing(1), TOP_K, "rounded")
