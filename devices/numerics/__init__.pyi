from .blas import one_blas_thread as one_blas_thread
from .jit import kernel as kernel
from .random_streams import generator as generator
from .random_streams import normals as normals
from .random_streams import scramble as scramble
from .random_streams import stream_keys as stream_keys
from .worker_threads import set_threads as set_threads
from .worker_threads import threads as threads
