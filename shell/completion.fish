# Completion of rekall for fish.
#
# REKALL_NO_COMPLETION  if set and not empty: none
