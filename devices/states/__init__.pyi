from .drift import PkuDrift as PkuDrift
from .drift import VteamDrift as VteamDrift
from .filament import Growth as Growth
