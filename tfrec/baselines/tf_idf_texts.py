"""The items whose texts use the rare words of the history's texts: no training, no text backbone."""

from collections.abc import Sequence

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from tfrec.baselines.interaction_matrix import InteractionMatrix
from tfrec.datasets.ragged import Ragged
from tfrec.errors import InputError


class TFIDFTexts:
    """Scores an item by the mean, over the history, of the cosines of their texts' TF-IDF vectors.

    Words weigh as scikit-learn's `TfidfVectorizer` has it (Salton and Buckley, "Term-weighting approaches in automatic
    text retrieval", 1988). Like `ContentSimilarity` it knows items that nobody interacted with.

    Args:
        texts: What each item says, [num_items]; empty ones are like nothing.
        ngrams: Longest runs of words that count as terms, 1 or more.
        sublinear: A word's repeats count as `1 + ln(count)`.

    Raises:
        InputError: There is no word in any text.

    Example:
        >>> TFIDFTexts(["red wine", "white wine", "beer"]).score(users, histories).shape
        (128, 3)
    """

    name = "tf_idf_texts"

    def __init__(self, texts: Sequence[str], ngrams: int = 1, sublinear: bool = False) -> None:
        vectorizer = TfidfVectorizer(ngram_range=(1, ngrams), sublinear_tf=sublinear, dtype=np.float32)
        try:
            self.vectors = sparse.csr_array(vectorizer.fit_transform(texts))  # [num_items, num_terms], of length 1
        except ValueError as error:
            raise InputError(
                "Expected items whose texts have words, to compare them. Received: none. Name a column with --text."
            ) from error
        self.transposed = self.vectors.T.tocsr()

    def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        """Means of cosines, 0 to 1; zeros for an empty history: float32 [batch_size, num_items]."""
        history = InteractionMatrix(histories, self.vectors.shape[0]).binary
        scores: np.ndarray = ((history @ self.vectors) @ self.transposed).toarray()
        scores /= np.maximum(np.diff(history.indptr), 1).astype(np.float32)[:, None]
        return scores
