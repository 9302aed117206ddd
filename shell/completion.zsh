# Completion of rekall for zsh.
#
# REKALL_NO_COMPLETION  if set and not empty: none
