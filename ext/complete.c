/* `rekall complete SHELL LINE [WORD]`: what may stand at the cursor, for the scripts that shells run at TAB.
 *
 * What the grammar alone knows is compiled in (grammar.py); what the base knows is asked of the warm process if one
 * runs, and never of another. Nothing is printed before all of it is there, so the deadline may simply end this
 * process, whatever it waits for. rekall/completion.py says the same, and where it is explained. */
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

enum slot_kind { NOTHING, FILES, CHOICES, STORED };
struct choice {
    const char *name, *meaning[2];
};
struct slot { /* what may stand at one place; `choices` ends with a NULL */
    enum slot_kind kind;
    const struct choice *choices;
};
struct option {
    const char *name, *meaning[2];
    bool is_shown, takes_value;
    struct slot value;
};
struct grammar {
    const char *name;
    const struct option *options; /* end with a NULL */
    const struct slot *slots;
    size_t slot_count;
    bool repeats, has_signs;
};

#include "grammar_table.h"

enum {
    NOTHING_KNOWN = 1,
    FILES_BELONG = 3,
    DEADLINE_MS = 50,
    LONGEST_ANSWER = 1 << 20,
    HIGHEST_WORDS = 1000, /* a longer line is no command line any more */
};

struct line {
    char *text;
    char *words[HIGHEST_WORDS + 2]; /* the last is the one at the cursor; then a NULL */
    size_t count;
    char quote; /* open at the cursor, or 0 */
};

static bool is_blank(char letter) { return letter == ' ' || letter == '\t' || letter == '\n'; }

/* Cut a command line into words as typed_line.split does. */
static bool split(struct line *line, const char *from, bool is_fish) {
    char *to = line->text = malloc(strlen(from) + 2);
    bool within = false;
    line->count = 0, line->quote = 0;
    if (!to) return false;
    for (; *from; from++) {
        if (!line->quote && is_blank(*from)) {
            if (within) *to++ = '\0';
            within = false;
            continue;
        }
        if (!within && line->count == HIGHEST_WORDS) return false;
        if (!within) line->words[line->count++] = to;
        within = true;
        if (*from == '\\' && (line->quote != '\'' || is_fish)) {
            const char next = from[1];
            const bool taken = !line->quote || (next && strchr(line->quote == '"' ? "$`\"\\\n" : "'\\", next));
            if (!taken) *to++ = '\\';
            if (next) *to++ = next, from++;
        } else if (*from == line->quote) {
            line->quote = 0;
        } else if (!line->quote && (*from == '\'' || *from == '"')) {
            line->quote = *from;
        } else {
            *to++ = *from;
        }
    }
    if (!within) line->words[line->count++] = to;
    *to = '\0';
    line->words[line->count] = NULL;
    return true;
}

/* ---- what is wanted ------------------------------------------------------------------------------------ */

struct wanted {
    struct slot slot;
    const struct option *options; /* a name of one of these, in place of `slot` */
    const char *word, *typed;     /* the word at the cursor, and where in it the choice begins */
};

static const struct grammar *find_grammar(const char *name) {
    for (size_t i = 1; i < sizeof grammars / sizeof *grammars; i++)
        if (!strcmp(name, grammars[i].name)) return grammars + i;
    return NULL;
}

static const struct option *find_option(const struct grammar *grammar, const char *name, size_t length) {
    for (const struct option *at = grammar->options; at->name; at++)
        if (!strncmp(at->name, name, length) && !at->name[length]) return at;
    return NULL;
}

static struct wanted want_option(const struct grammar *grammar, const char *word) {
    const char *equals = strchr(word, '=');
    if (!equals) return (struct wanted){.options = grammar->options, .word = word, .typed = word};
    const struct option *found = strncmp(word, "--", 2) ? NULL : find_option(grammar, word, (size_t)(equals - word));
    const struct slot slot = found && found->takes_value ? found->value : (struct slot){0};
    return (struct wanted){.slot = slot, .word = word, .typed = equals + 1};
}

static struct wanted find_wanted(const struct line *line) {
    const struct grammar *grammar = grammars;
    const struct option *waiting = NULL; /* whose value comes next */
    const char *current = line->words[line->count - 1];
    struct wanted wanted = {.word = current, .typed = current}; /* nothing */
    bool is_text = false;
    size_t given = 0;
    for (size_t i = 1; i + 1 < line->count; i++) {
        const char *word = line->words[i];
        if (waiting)
            waiting = NULL;
        else if (!is_text && !strcmp(word, "--"))
            is_text = true;
        else if (!is_text && *word == '-' && !(grammar->has_signs && given)) {
            const struct option *found = find_option(grammar, word, strlen(word));
            waiting = found && found->takes_value ? found : NULL;
        } else if (grammar != grammars)
            given++;
        else if (is_text || !(grammar = find_grammar(word)))
            return wanted;
    }
    if (line->count < 2) return wanted;
    if (waiting) return wanted.slot = waiting->value, wanted;
    if (!is_text && *current == '-' && !(grammar->has_signs && given)) return want_option(grammar, current);
    if (grammar == grammars && is_text) return wanted;
    if (given >= grammar->slot_count && grammar->repeats) given = grammar->slot_count - 1;
    if (given < grammar->slot_count) wanted.slot = grammar->slots[given];
    return wanted;
}

/* ---- what is known here -------------------------------------------------------------------------------- */

static char *answer;
static size_t answer_size;

static void put(const char *bytes, size_t length) {
    if (!(answer = realloc(answer, answer_size + length))) _exit(FAILED);
    memcpy(answer + answer_size, bytes, length);
    answer_size += length;
}

static void put_text(const char *text) { put(text, strlen(text)); }

/* `cut`: how much of the word stands before what the answer is put in place of. */
static void put_choice(const char *name, const char *const meaning[2], const struct wanted *wanted, size_t cut) {
    if (strncmp(name, wanted->typed, strlen(wanted->typed))) return;
    const size_t before = (size_t)(wanted->typed - wanted->word);
    if (cut < before) put(wanted->word + cut, before - cut);
    put_text(name + (cut > before ? cut - before : 0));
    put("\t", 1);
    put_text(meaning[speaks_french()]);
    put("\n", 1);
}

static void put_known(const struct wanted *wanted, size_t cut) {
    const struct slot *slot = &wanted->slot;
    for (const struct option *at = wanted->options; at && at->name; at++)
        if (at->is_shown) put_choice(at->name, at->meaning, wanted, cut);
    for (const struct choice *at = slot->choices; slot->kind == CHOICES && at->name; at++)
        put_choice(at->name, at->meaning, wanted, cut);
}

/* bash puts the answer in place of `end`, the end of the word at the cursor; return how long the rest is. */
static size_t before_end(const struct wanted *wanted, const struct line *line, const char *end) {
    static struct line inner;
    char *quoted = malloc(strlen(end) + 2);
    if (!quoted) return 0;
    quoted[0] = line->quote;
    strcpy(quoted + (line->quote != 0), end);
    const size_t whole = strlen(wanted->word);
    const size_t part = split(&inner, quoted, false) ? strlen(inner.words[inner.count - 1]) : whole;
    free(quoted);
    return part < whole ? whole - part : 0;
}

/* ---- what the base knows ------------------------------------------------------------------------------- */

static bool get(int server, void *bytes, size_t length) {
    for (char *at = bytes; length;) {
        const ssize_t got = read(server, at, length);
        if (got <= 0) return false;
        at += got, length -= (size_t)got;
    }
    return true;
}

static bool give(int server, struct queue *out) {
    for (; out->from < out->to;) {
        const ssize_t done = write(server, out->bytes + out->from, out->to - out->from);
        if (done <= 0) return false;
        out->from += (size_t)done;
    }
    return true;
}

/* Return the status of the server's answer, or NOTHING_KNOWN. */
static int converse_briefly(int server, char *const words[]) {
    static unsigned char text[LONGEST_ANSWER];
    struct queue out = {0};
    unsigned columns, rows;
    if (!put_hello(&out, words, &columns, &rows) || !give(server, &out)) return NOTHING_KNOWN;
    for (unsigned char head[HEAD]; get(server, head, sizeof head);) {
        const size_t length = get_length(head + 1);
        if (length > sizeof text || !get(server, text, length)) break;
        if (head[0] == 'X' && length == 1) return text[0];
        if (head[0] == 'A') put_frame(&out, 'G', NULL, 0);
        if (head[0] == 'A' ? !give(server, &out) : head[0] != 'O' && head[0] != 'R') break;
        if (head[0] == 'O' && answer_size + length <= LONGEST_ANSWER) put((char *)text, length);
    }
    answer_size = 0;
    return NOTHING_KNOWN;
}

static int ask_base(const struct line *line, char *const words[]) {
    static struct place place;
    static char path[PATH_SIZE];
    char *const *completed = line->words + 1, *off = getenv("REKALL_NO_SERVER"), *home = getenv("HOME");
    struct command_line found = read_words(completed);
    if (found.is_alone || (off && *off)) return NOTHING_KNOWN;
    if (found.db && !strncmp(found.db, "~/", 2) && home && snprintf(path, PATH_SIZE, "%s%s", home, found.db + 1) > 0)
        found.db = path;
    if (!find_base(&place, found.db, found.skip_project) || !find_folder(&place)) return NOTHING_KNOWN;
    const int server = reach_server(&place, false);
    if (server < 0 || fcntl(server, F_SETFL, 0)) return NOTHING_KNOWN;
    return converse_briefly(server, words);
}

/* ---- the command --------------------------------------------------------------------------------------- */

static void give_up(int number) {
    (void)number;
    _exit(NOTHING_KNOWN);
}

static void set_deadline(int ms) {
    const struct sigaction action = {.sa_handler = give_up};
    const struct itimerval time = {.it_value = {.tv_usec = ms * 1000}};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    sigaction(SIGALRM, &action, NULL);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    setitimer(ITIMER_REAL, &time, NULL);
}

int print_completion(char *const words[]) {
    static struct line line;
    static const char *const shells[] = {"bash", "zsh", "fish", NULL};
    char *const *given = words + 1;
    if (!given[0] || !is_one_of(given[0], shells) || !given[1] || (given[2] && given[3])) return LOCALLY;
    if (!split(&line, given[1], !strcmp(given[0], "fish"))) return NOTHING_KNOWN;
    const struct wanted wanted = find_wanted(&line);
    if (wanted.slot.kind == FILES) return FILES_BELONG;
    int status = NOTHING_KNOWN;
    if (wanted.slot.kind == STORED) {
        set_deadline(DEADLINE_MS);
        status = ask_base(&line, words);
        set_deadline(0);
    } else {
        put_known(&wanted, given[2] && !strcmp(given[0], "bash") ? before_end(&wanted, &line, given[2]) : 0);
    }
    if (!answer_size) return status;
    return print_bytes(answer, answer_size) ? 0 : write_failed();
}
