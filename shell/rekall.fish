# rekall for fish: what `rekall init fish` prints, behind the variables that its options set.
#
# REKALL_KEY       the key that finds and inserts; empty: none. Without it: alt-k, in vi maps ctrl-g
# REKALL_KEEP_KEY  the key that keeps the current or the last command; empty: none. Without it: alt-shift-k
# REKALL_NO_BIND   if set and not empty: no key is bound; the widgets are there to be bound by hand
