"""Sampling with patients integrated out over nodes, for any mechanism and residual.

The way of a fit: `coordinates` says what is sampled, `climb` finds the mode and what is known of
each patient, `rule` lays nodes for every patient, `pool` weighs positions of the population around
the mode, `emulator` learns the posterior from them and proposes more, `resampling` chooses draws
out of these by weight, `patients` draws the patients given the population. What this neglects, the
finite number of nodes, is measured against fresh nodes and kept with the fit.
"""
