# rekall for fish 3.4 and newer: what `rekall init fish` prints, behind the variables that its options set.
#
# REKALL_KEY       the key that finds; empty: none. Without it: alt-k, in vi's modes ctrl-g
# REKALL_KEEP_KEY  the key that keeps a command; empty: none. Without it: alt-shift-k
# REKALL_NO_BIND   if set and not empty: no key is bound
#
# A key is written alt-k, alt-shift-k, ctrl-g, ctrl-x ctrl-r, or as bind has it: \ek.
# rekall_find and rekall_keep are for `bind`; rekall_bind binds them to these keys (again).

if status is-interactive

    # ---- find ----

    function rekall_find -d "Find, and put what is chosen in the place of what was asked"
        set -l line (commandline -b | string collect -N) # ends with one line end more
        set -l at (commandline -C)
        if test "$fish_bind_mode" = default; and __rekall_has_vi # behind the character under the cursor, as vi's `a` has it
            set at (math $at + 1)
        end
        set -l query (__rekall_query "$line" $at)
        set -l said
        # The picker has the lines below; then we are back where fish believes us to be.
        printf '\r\n' >/dev/tty
        set -l answer (__rekall_pick "$query" 2>| read -z said)
        set -l code $pipestatus[1]
        # If it was cut off it still stands here. It has switched off that pastes are marked as such.
        printf '\r\e[J\e[A\e[?2004h' >/dev/tty
        if test $code -eq 0 -a -n "$answer"
            __rekall_put "$line" (math $at - (string length -- "$query")) $at $answer
        end
        if test -n "$said"
            __rekall_say "$said" (string sub -l $at -- "$line")
        end
        commandline -f repaint
    end

    # The query: right behind a word, the command that it ends, or what was quoted so far; else nothing.
    function __rekall_query -a line at
        set -l before (string sub -l $at -- "$line")[-1]
        set -l after (string sub -s (math $at + 1) -l 1 -- "$line" | string collect)
        if not string match -qr '[[:alnum:]_./~+%@-]$' -- "$before"; or string match -qr '\S' -- "$after"
            return
        end
        set -l query (string match -r '[^|;&(`]*$' -- $before)
        set -l quoted (string match -rg '\s["\']([^"\']*)$' -- $query)
        and set query $quoted
        string trim -l -- $query
    end

    function __rekall_pick -a query
        if type -fq rekall
            command rekall pick -- "$query" </dev/tty
        else if string match -qr '^fr($|[_.@])' -- $LC_ALL $LC_MESSAGES $LANG
            echo 'rekall est introuvable ; son dossier est-il dans PATH ?' >&2
        else
            echo 'rekall is not found; is its folder in PATH?' >&2
        end
    end

    # Put lines in the place of what stands between two places of the command line. Lists hold line ends as they are.
    function __rekall_put -a line from to
        set -l text (string sub -l $from -- "$line")
        set -l rest (string sub -s (math $to + 1) -- "$line")
        set -l answer (string join \n -- $argv[4..] | string collect)
        set -l lines (string split \n -- $answer)
        set text[-1] "$text[-1]$lines[1]"
        set -e lines[1]
        set -a text $lines
        set text[-1] "$text[-1]$rest[1]"
        set -e rest[1] rest[-1] # the line end that was added
        commandline -r -- $text $rest
        commandline -C (math $from + (string length -- "$answer"))
    end

    # Say something above the prompt, which is drawn again below it. What follows: the lines up to the cursor.
    function __rekall_say -a text
        printf '\r\n%s' (string trim -- $text)
        string repeat -N -n (math (count (fish_prompt)) + (count $argv) - 2) \n
    end

    # ---- keep ----

    function rekall_keep -d "Write a `rekall add` for the command being typed, or for the last one"
        set -l typed (commandline -b)
        set -l text (string join \n -- $typed | string collect)
        set -l code ''
        set -l folder $PWD
        set -l type snippet
        if string match -qr '\S' -- "$text"
            set -g __rekall_typed $typed # comes back at the next prompt
        else
            set text "$__rekall_command"
            set code "$__rekall_code"
            set folder "$__rekall_folder"
        end
        if test -z "$text"
            return
        end
        if test -n "$code" -a "$code" != 0
            set type bug
        end
        test -n "$code"; and set code ", exit status $code"
        set folder in (string replace -r '^'(string escape --style=regex -- $HOME)'(?=/|$)' '~' -- $folder)$code
        commandline -r -- " rekall add $type \"\" -c "(__rekall_quoted $text)" --situation "(__rekall_quoted "$folder")
        commandline -C (math 14 + (string length -- $type))
    end

    # Quoted over several lines, as one would by hand; string escape writes them in one.
    function __rekall_quoted -a text
        printf "'%s'" (string replace -ra '([\'\\\\])' '\\\\$1' -- $text | string collect) | string collect
    end

    # Note a command with its folder, and what came of it, without a process. What is ours is not kept.
    function __rekall_preexec --on-event fish_preexec
        if not string match -qr '^\s*rekall\s' -- "$argv"
            set -g __rekall_command $argv[1]
            set -g __rekall_folder $PWD
            set -g __rekall_code -
        end
    end

    function __rekall_postexec --on-event fish_postexec
        set -l code $status
        if test "$__rekall_code" = -
            set -g __rekall_code $code
        end
    end

    function __rekall_back --on-event fish_postexec
        if set -q __rekall_typed
            commandline -r -- $__rekall_typed
            set -e __rekall_typed
        end
    end

    function __rekall_forget --on-event fish_cancel
        set -e __rekall_typed
    end

    # ---- keys ----

    # Bind the keys, in vi's modes where those are in use; once more if somebody has taken them.
    function rekall_bind -d "Bind the keys of rekall (again)"
        for bound in $__rekall_bound # a mode and a key
            if bind -M (string split -m 1 ' ' -- $bound) 2>/dev/null | string match -q '*rekall*'
                bind -e -M (string split -m 1 ' ' -- $bound)
            end
        end
        set -g __rekall_bound
        set -l find (set -q REKALL_KEY; and echo $REKALL_KEY; or echo alt-k)
        set -l keep (set -q REKALL_KEEP_KEY; and echo $REKALL_KEEP_KEY; or echo alt-shift-k)
        set -l modes default
        if __rekall_has_vi
            set -q REKALL_KEY; or set find ctrl-g
            set modes default insert
        end
        for mode in $modes
            __rekall_bind $mode "$find" rekall_find
            __rekall_bind $mode "$keep" rekall_keep
        end
    end

    function __rekall_has_vi
        string match -qr 'vi|hybrid' -- "$fish_key_bindings"
    end

    function __rekall_bind -a mode key widget
        set -l sequence ''
        for word in (string split -n ' ' -- $key)
            set -l part (string match -rg '^(alt-shift|alt|ctrl)-(.)$' -- $word)
            switch "$part[1]"
                case alt
                    set sequence $sequence\e$part[2]
                case alt-shift
                    set sequence $sequence\e(string upper -- $part[2])
                case ctrl
                    set sequence $sequence(string unescape -- '\\c'$part[2])
                case '*'
                    set sequence (string unescape -- $key)
                    break
            end
        end
        if test -n "$sequence"
            bind -M $mode $sequence $widget
            set -ga __rekall_bound "$mode $sequence"
        end
    end

    function __rekall_bind_unless_told --on-variable fish_key_bindings
        if test -z "$REKALL_NO_BIND"
            rekall_bind
        end
    end
    __rekall_bind_unless_told
end
