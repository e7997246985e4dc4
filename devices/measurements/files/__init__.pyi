from .blocks import Block as Block
from .blocks import blocks_of as blocks_of
from .headings import Heading as Heading
from .headings import read_heading as read_heading
from .rows import Row as Row
from .rows import Sheet as Sheet
from .sheets import read_sheets as read_sheets
