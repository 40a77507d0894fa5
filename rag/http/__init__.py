"""Parts of the endpoint that stand on their own."""
