/* fzf as the picker: this process becomes the shell that runs shell/fzf.sh, which is compiled in. That script takes the
 * words apart, and asks this program again: for the list at every key, the preview, and what was chosen. */
#include "client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fzf_script.h"

bool wants_fzf(const struct command_line *line, char *const words[]) {
    static const char *const others[] = {"--list", "--take", NULL};
    const char *named = getenv("REKALL_PICKER");
    bool wanted = named && !strcmp(named, "fzf");
    if (line->door == VERSION || line->is_help) return false;
    if (line->command ? strcmp(line->command, "pick") : !isatty(STDIN_FILENO)) return false;
    for (; *words && strcmp(*words, "--"); words++) {
        if (is_one_of(*words, others)) return false;
        wanted |= !strcmp(*words, "--fzf");
    }
    return wanted;
}

int become_fzf(const struct command_line *line, char *const words[]) {
    char client[PATH_SIZE], shell[] = "/bin/sh", takes_text[] = "-c", nothing[] = "";
    size_t count = 0, have = 0;
    const char *python = python_path();
    if (!python) return LOCALLY;
    strcpy(client, python);
    client[strlen(client) - strlen("-py")] = '\0'; /* this program, beside it */
    while (words[count]) count++;
    char **arguments = calloc(count + 6, sizeof *arguments);
    if (!arguments) return fail(strerror(ENOMEM));
    arguments[have++] = shell, arguments[have++] = takes_text, arguments[have++] = (char *)fzf_sh;
    arguments[have++] = client, arguments[have++] = nothing;
    for (; *words; words++)
        if (*words != line->command) arguments[have++] = *words;
    signals_restore();
    execv(shell, arguments);
    free(arguments);
    return LOCALLY;
}
