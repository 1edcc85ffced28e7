"""The Jupyter server's side: routes, admission, and the models' lives."""
