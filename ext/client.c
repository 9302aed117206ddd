/* rekall at the shell: ask the warm process and copy its answer, or become rekall-py, which needs none.
 *
 * docs/protocol.md is the specification. The one surprise: nothing is ever done twice. Whatever cannot be asked
 * ends in rekall-py, but only where nothing can have been done yet (talk.c). */
#include "client.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifndef REKALL_VERSION
#error "REKALL_VERSION: setup.py takes it from rekall/__init__.py"
#endif

/* ---- messages ---------------------------------------------------------------------------------------- */

static const char *const messages[][2] = {
    [NOT_OURS] = {"%s belongs to user %lu, not to you; answered without the warm process: remove it or set TMPDIR",
                  "%s appartient à l'utilisateur %lu, pas à vous ; réponse sans processus résident : "
                  "supprimez-le ou définissez TMPDIR"},
    [OPEN_TO_OTHERS] = {"%s is open to others (mode %04o); answered without the warm process: chmod 700 %s",
                        "%s est ouvert à d'autres (mode %04o) ; réponse sans processus résident : chmod 700 %s"},
    [NO_FOLDER] = {"%s is a link or a file, not a folder; answered without the warm process: remove it",
                   "%s est un lien ou un fichier, pas un dossier ; réponse sans processus résident : supprimez-le"},
    [NOT_OUR_SERVER] = {"%s/s: another user's process listens there; answered without it: remove the folder",
                        "%s/s : le processus d'un autre utilisateur y écoute ; réponse sans lui : "
                        "supprimez le dossier"},
    [NO_PYTHON] = {"%s cannot be run: %s; install rekall again", "%s ne peut être lancé : %s ; réinstallez rekall"},
    [NO_OWN_FOLDER] = {"the folder of this program cannot be told (no /proc?), and no rekall-py is on the PATH; "
                       "run it by its own path",
                       "le dossier de ce programme est introuvable (pas de /proc ?) et rekall-py n'est pas dans le "
                       "PATH ; lancez-le par son chemin"},
    [OUTCOME_UNKNOWN] = {"the warm process ended or was left while it wrote, whether it did is not known; "
                         "repeat it with REKALL_REQUEST_ID=%s, which keeps it once",
                         "le processus résident s'est arrêté ou a été quitté en pleine écriture, le résultat est "
                         "inconnu ; recommencez avec REKALL_REQUEST_ID=%s, qui ne garde qu'une fois"},
    [CUT_SHORT] = {"the warm process ended before its answer did; ask again",
                   "le processus résident s'est arrêté avant la fin de sa réponse ; reposez la question"},
    [NOT_UNDERSTOOD] = {"the warm process sent a frame that means nothing (type %u, %lu bytes); "
                        "run rekall server restart, then ask again",
                        "le processus résident a envoyé une trame sans signification (type %u, %lu octets) ; "
                        "lancez rekall server restart, puis reposez la question"},
    [PLAIN_REASON] = {"%s", "%s"},
};

bool speaks_french(void) {
    static const char *const names[] = {"LC_ALL", "LC_MESSAGES", "LANG"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = getenv(names[i]);
        if (value && *value) return !strncmp(value, "fr", 2) && (!value[2] || strchr("_.@", value[2]));
    }
    return false;
}

void say(enum message message, ...) {
    char line[2 * PATH_SIZE] = "rekall: ";
    const size_t start = strlen(line), room = sizeof line - start - 1;
    va_list values;
    va_start(values, message);
    int length = vsnprintf(line + start, room, messages[message][speaks_french()], values);
    va_end(values);
    if (length < 0) length = 0;
    if ((size_t)length >= room) length = (int)room - 1;
    for (char *at = line; *at; at++) /* a name may hold anything: one line, and nothing that drives a terminal */
        if ((unsigned char)*at < ' ' || *at == 127) *at = '?';
    line[start + (size_t)length] = '\n';
    if (write(STDERR_FILENO, line, start + (size_t)length + 1) < 0) return; /* nobody listens */
}

int fail(const char *reason) {
    tty_restore(true);
    say(PLAIN_REASON, reason);
    return FAILED;
}

int write_failed(void) { return errno == EPIPE ? 0 : fail(strerror(errno)); }

int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool is_named(const char *variable, const char *const prefixes[]) {
    for (; *prefixes; prefixes++)
        if (!strncmp(variable, *prefixes, strlen(*prefixes))) return true;
    return false;
}

/* ---- the command line -------------------------------------------------------------------------------- */

bool is_one_of(const char *word, const char *const list[]) {
    for (; *list; list++)
        if (!strcmp(word, *list)) return true;
    return false;
}

/* Take the options that every command has, as command_line.py does, and say who is to answer. A --db without a path
 * goes to rekall-py, which explains. */
struct command_line read_words(char *const words[]) {
    static const char *const own[] = {"import", "export", "edit",   "backup", "restore", "merge",
                                      "index",  "server", "doctor", "bench",  "init",  NULL};
    static const char *const light[] = {"stats", "help", "config", NULL};
    struct command_line line = {.door = ANY_SERVER};
    const char *off = getenv("REKALL_NO_SERVER");
    bool version = false, broken = false;
    line.is_alone = off && *off;
    for (; *words && strcmp(*words, "--"); words++) {
        const char *word = *words;
        if (!strcmp(word, "--global"))
            line.skip_project = true;
        else if (!strcmp(word, "--no-server"))
            line.is_alone = true;
        else if (!strcmp(word, "--version"))
            version = true;
        else if (!strcmp(word, "--help") || !strcmp(word, "-h"))
            line.is_help = true;
        else if (!strncmp(word, "--db=", 5))
            broken |= !*(line.db = word + 5);
        else if (!strcmp(word, "--db")) {
            if (!words[1] || !strcmp(words[1], "--") || !*words[1]) return (struct command_line){.door = OWN_PROCESS};
            line.db = *++words;
        } else if (!line.command)
            line.command = word;
    }
    if (broken || (line.is_alone && !version))
        line.door = OWN_PROCESS;
    else if (version)
        line.door = VERSION;
    else if (line.is_help || (line.command && is_one_of(line.command, light)))
        line.door = RUNNING_SERVER;
    else if (line.command && is_one_of(line.command, own))
        line.door = OWN_PROCESS;
    return line;
}

static int print_version(void) {
    static const char text[] = "rekall " REKALL_VERSION "\n";
    return write(STDOUT_FILENO, text, sizeof text - 1) < 0 ? write_failed() : 0;
}

/* Run rekall-py in this process: the one beside this program; where its folder cannot be told, the one on the PATH.
 * After a server was to be asked in vain it is told not to ask again. */
static int become_python(char *const words[], bool in_vain) {
    char *path = (char *)python_path(), no_server[] = "--no-server", named[] = "rekall-py";
    size_t count = 0, have = 0;
    while (words[count]) count++;
    char **arguments = calloc(count + 3, sizeof *arguments);
    if (!arguments) return fail(strerror(ENOMEM));
    arguments[have++] = path ? path : named;
    if (in_vain) arguments[have++] = no_server;
    memcpy(arguments + have, words, count * sizeof *words);
    signals_restore();
    if (path)
        execv(path, arguments);
    else
        execvp(named, arguments);
    free(arguments);
    if (path)
        say(NO_PYTHON, path, strerror(errno));
    else
        say(NO_OWN_FOLDER);
    return FAILED;
}

/* Return the exit status, or LOCALLY: no server will answer. */
static int ask(const struct command_line *line, char *const words[]) {
    static struct place place;
    bool begun_again = false, replaced = false;
    const bool may_start = line->door == ANY_SERVER;
    if (!find_base(&place, line->db, line->skip_project) || !find_folder(&place)) return LOCALLY;
    for (;;) {
        const int server = reach_server(&place, may_start);
        if (server < 0) return LOCALLY;
        const int end = converse(server, words);
        tty_restore(false);
        close(server);
        if (end == ENDED && !begun_again)
            begun_again = true;
        else if (end == OTHER_VERSION && !replaced && may_start && wait_until_gone(&place))
            replaced = true;
        else
            return end < 0 ? LOCALLY : end;
    }
}

int main(int argc, char **argv) {
    char *const *words = argv + (argc > 0); /* execve allows an empty argv */
    streams_begin();
    const bool is_init = *words && !strcmp(*words, "init"), is_complete = *words && !strcmp(*words, "complete");
    if (is_init || is_complete) {
        const int status = is_init ? print_init(words + 1) : print_completion(words);
        if (status != LOCALLY) return status;
        return become_python(words, false);
    }
    const struct command_line line = read_words(words);
    if (line.door == VERSION) return print_version();
    if (wants_fzf(&line, words) && become_fzf(&line, words) == FAILED) return FAILED;
    if (line.door == OWN_PROCESS) return become_python(words, false);
    const int status = ask(&line, words);
    return status < 0 ? become_python(words, true) : status;
}
