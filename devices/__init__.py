"""What sits at a crosspoint: laws, gates, states, spread and noise; knows volt, ampere, siemens and second."""
