from .cache import LIMIT as LIMIT
from .cache import Cache as Cache
from .downloads import download as download
from .packed import about as about
from .packed import pack as pack
from .packed import unpack as unpack
from .whole_files import check_folder as check_folder
from .whole_files import write_whole as write_whole
