"""The seams to the models, and what stands behind them."""
