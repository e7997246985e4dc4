from .findings import loses as loses
from .findings import show_findings as show_findings
from .findings import show_offer as show_offer
from .findings import with_diagnosis as with_diagnosis
from .findings import with_idle_keys as with_idle_keys
from .report_tables import show as show
