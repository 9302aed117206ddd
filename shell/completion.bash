# Completion of rekall for bash.
#
# REKALL_NO_COMPLETION  if set and not empty: none
