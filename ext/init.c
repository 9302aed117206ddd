/* `rekall init SHELL`: what a shell runs when it starts. The scripts of shell/ are compiled in (embed.py), so that it
 * needs no file, no Python and no server: a shell that starts waits for it.
 *
 * What is printed gets eval'ed: the variables that the options set come first, quoted for that shell, then the scripts
 * as they are. Anything but a plain call is left to rekall-py, which answers the same or explains. */
#include "client.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "shell_scripts.h"

enum { VARIABLES = 3 };

struct wanted {
    const char *shell;
    const char *values[VARIABLES]; /* in the order of `variables`; NULL: not given */
};

static const char *const variables[VARIABLES] = {"REKALL_KEY", "REKALL_NO_BIND", "REKALL_NO_COMPLETION"};

static const struct shell {
    const char *name, *before, *between; /* an assignment is: before NAME between 'VALUE' */
    const char *quote, *backslash;       /* how these two are written between single quotes */
    const unsigned char *script, *completion;
    size_t script_size, completion_size;
} shells[] = {
    {"bash", "", "=", "'\\''", "\\", rekall_bash, completion_bash, sizeof rekall_bash, sizeof completion_bash},
    {"zsh", "typeset -g ", "=", "'\\''", "\\", rekall_zsh, completion_zsh, sizeof rekall_zsh, sizeof completion_zsh},
    {"fish", "set -g ", " ", "\\'", "\\\\", rekall_fish, completion_fish, sizeof rekall_fish, sizeof completion_fish},
};

static const struct shell *find_shell(const char *name) {
    for (size_t i = 0; name && i < sizeof shells / sizeof *shells; i++)
        if (!strcmp(name, shells[i].name)) return shells + i;
    return NULL;
}

static bool is_ascii(const char *text) {
    while (*text && !(*text & 0x80)) text++;
    return !*text;
}

/* False: not a plain call. A value that begins with a dash may be an option gone astray. */
static bool read_options(char *const words[], struct wanted *wanted) {
    for (; *words; words++) {
        const char *word = *words;
        if (!strcmp(word, "--no-bind"))
            wanted->values[1] = "1";
        else if (!strcmp(word, "--no-completion"))
            wanted->values[2] = "1";
        else if (!strncmp(word, "--key=", 6))
            wanted->values[0] = word + 6;
        else if (!strcmp(word, "--key") && words[1] && words[1][0] != '-')
            wanted->values[0] = *++words;
        else if (*word == '-' || wanted->shell)
            return false;
        else
            wanted->shell = word;
    }
    return !wanted->values[0] || is_ascii(wanted->values[0]); /* what is no text, rekall-py refuses */
}

bool print_bytes(const void *bytes, size_t length) {
    const char *at = bytes;
    while (length) {
        const ssize_t done = write(STDOUT_FILENO, at, length);
        if (done < 0 && errno != EINTR) return false;
        if (done > 0) at += done, length -= (size_t)done;
    }
    return true;
}

static bool print_text(const char *text) { return print_bytes(text, strlen(text)); }

static bool print_assignment(const struct shell *shell, const char *name, const char *value) {
    if (!print_text(shell->before) || !print_text(name) || !print_text(shell->between) || !print_text("'"))
        return false;
    for (size_t plain; *value; value += plain) {
        plain = strcspn(value, "'\\");
        if (!print_bytes(value, plain)) return false;
        if (!plain && !print_text(*value == '\'' ? shell->quote : shell->backslash)) return false;
        if (!plain) plain = 1;
    }
    return print_text("'\n");
}

int print_init(char *const words[]) {
    struct wanted wanted = {0};
    if (!read_options(words, &wanted)) return LOCALLY;
    const struct shell *shell = find_shell(wanted.shell);
    if (!shell) return LOCALLY;
    for (int i = 0; i < VARIABLES; i++)
        if (wanted.values[i] && !print_assignment(shell, variables[i], wanted.values[i])) return write_failed();
    if (!print_bytes(shell->script, shell->script_size) || !print_bytes(shell->completion, shell->completion_size))
        return write_failed();
    return 0;
}
