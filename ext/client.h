/* What the files of the `rekall` executable share. docs/protocol.md says what it does, and why it may.
 *
 * client.c  the command line: who is to answer, messages
 * init.c    what a shell runs when it starts
 * complete.c  what a shell asks at TAB
 * fzf.c     fzf in place of the picker
 * hello.c   frames for the server, and the first of them
 * talk.c    the conversation
 * place.c   which base, and where its server listens
 * start.c   reaching the server, starting one
 * tty.c     the user's terminal, signals, and what the server has run in the user's own process */
#ifndef REKALL_CLIENT_H
#define REKALL_CLIENT_H

#define _GNU_SOURCE /* struct ucred, cfmakeraw: this header comes before all others */

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/select.h>

enum {
    PATH_SIZE = 4096,    /* a longer path is left to rekall-py */
    ROOT_LIMIT = 72,     /* with "/HASH/s" and a temporary name it stays within sun_path (104 bytes on macOS) */
    FOLDER_SIZE = 96,    /* ROOT, "/", 16 digits, a NUL */
    ANSWER_MS = 300,     /* until `A`; a server that needs longer is stuck */
    START_MS = 3000,     /* until a new server listens, or one of another version has gone */
    CANCEL_MS = 500,     /* from SIGINT until the client leaves by itself */
    CANCELLED = 130,
    FAILED = 2,
};

/* ---- client.c ---- */

enum message {
    NOT_OURS,       /* folder, uid */
    OPEN_TO_OTHERS, /* folder, mode, folder */
    NO_FOLDER,      /* folder */
    NOT_OUR_SERVER, /* folder */
    NO_PYTHON,      /* path, reason */
    NO_OWN_FOLDER,
    OUTCOME_UNKNOWN, /* request */
    CUT_SHORT,
    NOT_UNDERSTOOD, /* type, length */
    PLAIN_REASON,   /* what errno says, as rekall-py has it */
};

/* Which of the languages of a message the user reads: 0 English, 1 French. */
bool speaks_french(void);

/* Write one line on stderr, in the user's language. */
void say(enum message message, ...);

/* Say why, with the terminal as it was, and return the status for it. */
int fail(const char *reason);

/* The same for a write that failed (errno). To a reader who has left is no failure. */
int write_failed(void);

/* Whether a variable (NAME=value) begins with one of these; the last is NULL. */
bool is_named(const char *variable, const char *const prefixes[]);

/* Return CLOCK_MONOTONIC in milliseconds. */
int64_t now_ms(void);

bool is_one_of(const char *word, const char *const list[]);

/* Who is to answer a command line, and which base it names. */
enum door { OWN_PROCESS, VERSION, RUNNING_SERVER, ANY_SERVER };
struct command_line {
    enum door door;
    const char *db; /* may be NULL */
    bool skip_project;
    bool is_alone; /* no server is to be asked */
    bool is_help;
    const char *command; /* one of the words, or NULL */
};
struct command_line read_words(char *const words[]);

/* ---- init.c ---- */

bool print_bytes(const void *bytes, size_t length);

/* Print what `rekall init` with these words is to print. Returns the exit status, or LOCALLY: rekall-py answers. */
int print_init(char *const words[]);

/* ---- complete.c ---- */

/* Print what may stand at the cursor. `words` begin with `complete`. Returns the exit status (1: nothing, 3: files
 * belong there), or LOCALLY. Ends the process after DEADLINE_MS. */
int print_completion(char *const words[]);

/* ---- fzf.c ---- */

/* Whether this is the picker, and fzf is to draw it. */
bool wants_fzf(const struct command_line *line, char *const words[]);

/* Go on as the shell that runs fzf. Returns LOCALLY where it cannot. */
int become_fzf(const struct command_line *line, char *const words[]);

/* ---- hello.c ---- */

enum { HEAD = 5 /* bytes of a frame before what it holds: type, length */, HELLO_LIMIT = 4 << 20 };

/* Bytes that the server has not taken yet; all zero when it is new. */
struct queue {
    char *bytes;
    size_t from, to, size;
};

void put_frame(struct queue *queue, char type, const void *bytes, size_t length);

/* Put the hello in an empty queue; set the size of the terminal that it tells. False: it is too long to be sent. */
bool put_hello(struct queue *out, char *const words[], unsigned *columns, unsigned *rows);

/* Return what 4 bytes say, big endian. */
size_t get_length(const unsigned char *at);

/* ---- talk.c ---- */

/* How a conversation goes on or ends, beside an exit status. */
enum { GO_ON = -1, LOCALLY = -2, ENDED = -3, OTHER_VERSION = -4 };

/* Ask the connected server. Returns the exit status, or LOCALLY (nothing was done), ENDED (before `A`) or
 * OTHER_VERSION. */
int converse(int server, char *const words[]);

/* ---- place.c ---- */

struct place {
    char base[PATH_SIZE];
    char folder[FOLDER_SIZE];
    int64_t socket_id; /* the inode of the socket last connected to */
};

/* Find the base as config.find_base does, resolved as os.path.realpath does; `option` may be NULL.
 * False: it cannot be told (no home, no working directory, too long a path), and rekall-py says why. */
bool find_base(struct place *place, const char *option, bool skip_project);

/* Name the folder of the base's socket. False: no root folder will do. */
bool find_folder(struct place *place);

/* ---- start.c ---- */

/* Return a connected, non-blocking socket whose other end is the user's own, or -1. May start a server. */
int reach_server(struct place *place, bool may_start);

/* Wait until the socket last connected to is gone. False: it is still there after START_MS. */
bool wait_until_gone(const struct place *place);

/* ---- tty.c ---- */

/* What signals have asked for since it was last looked at. */
extern volatile sig_atomic_t interrupted, resized, suspended, continued;

/* Return the path of rekall-py, beside this executable with its links resolved, or NULL. */
const char *python_path(void);

/* Ignore SIGPIPE; put a descriptor that is closed at exec under each standard stream that is closed. */
void streams_begin(void);

/* From here on SIGINT is only noted, and noted only within `wait_for`; so are those of a terminal where one
 * was taken. A signal that was ignored stays so. */
void signals_begin(bool interactive);

/* Undo what an executed program would inherit of all this. */
void signals_restore(void);

/* pselect in which the noted signals arrive. */
int wait_for(int count, fd_set *readable, fd_set *writable, int64_t timeout_ms);

/* Open the controlling terminal (once). -1: there is none. */
int tty_open(void);

/* Columns and rows of a terminal; 0 and 0 where `fd` is none. */
void tty_size(int fd, unsigned *columns, unsigned *rows);

/* Raw mode, from now on restored on every way out. False: the terminal cannot be had. */
bool tty_take(void);
extern volatile sig_atomic_t tty_is_drawn_on; /* an app has drawn something below the shell's prompt */
/* `abruptly`: the server had no time to tidy up the screen. Safe in a signal handler. */
void tty_restore(bool abruptly);

/* Stop, as SIGTSTP does, with the terminal as it was; returns when continued. */
void tty_suspend(void);

/* Run a program with the terminal as it was and return its status; 127: it could not be run. */
int tty_run(char *const words[], const char *text, size_t length);

#endif
