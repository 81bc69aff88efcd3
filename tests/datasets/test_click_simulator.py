import numpy as np

from tfrec.datasets.click_simulator import simulate_clicks


def test_clicks_come_as_often_as_their_probabilities_say() -> None:
    simulation = simulate_clicks(num_impressions=50_000, rate=0.2, seed=1)
    labels, rates = simulation.dataset.interactions["label"].to_numpy(), simulation.click_rates
    # Three standard errors of a mean of independent draws, in all and among the most probable tenth.
    for chosen in (rates >= 0, rates > np.quantile(rates, 0.9)):
        error = np.sqrt((rates[chosen] * (1 - rates[chosen])).sum()) / chosen.sum()
        assert abs(labels[chosen].mean() - rates[chosen].mean()) < 3 * error
    assert abs(rates.mean() - 0.2) < 0.01


def test_only_what_is_clicked_is_bought_and_that_more_than_the_rest_would_be() -> None:
    simulation = simulate_clicks(num_impressions=50_000, seed=1)
    clicked = simulation.dataset.interactions["label"].to_numpy() == 1
    bought = simulation.dataset.interactions["bought"].to_numpy()
    assert not bought[~clicked].any()
    rates = simulation.conversion_rates
    error = np.sqrt((rates[clicked] * (1 - rates[clicked])).sum()) / clicked.sum()
    assert abs(bought[clicked].mean() - rates[clicked].mean()) < 3 * error
    assert rates[clicked].mean() > 1.1 * rates[~clicked].mean()


def test_what_is_clicked_is_watched_as_long_as_expected() -> None:
    simulation = simulate_clicks(num_impressions=50_000, seed=1)
    clicked = simulation.dataset.interactions["label"].to_numpy() == 1
    seconds = simulation.dataset.interactions["value"].to_numpy()
    assert (seconds[clicked] > 0).all() and not seconds[~clicked].any()
    liked = simulation.expected_values > np.quantile(simulation.expected_values, 0.8)
    for chosen in (liked, ~liked):
        error = seconds[chosen].std() / np.sqrt(chosen.sum())
        assert abs(seconds[chosen].mean() - simulation.expected_values[chosen].mean()) < 3 * error


def test_the_same_seed_gives_the_same_data() -> None:
    first, second = (simulate_clicks(num_impressions=100, seed=3).dataset for _ in range(2))
    assert first.interactions.equals(second.interactions)
    assert first.context_roles.columns == ("device", "slot", "hour")
