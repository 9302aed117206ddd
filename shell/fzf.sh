# fzf as the picker.
