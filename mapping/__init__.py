"""Networks on crossbars: formats and data, compiling, writing, running, pricing; the only package that knows images."""
