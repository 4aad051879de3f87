# SPDX-License-Identifier: GPL-3.0-or-later
"""The doctor's checks. Each looks at answers, and says in a finding what is wrong, or that nothing is."""
