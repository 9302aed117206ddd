/* The user's terminal, and the signals that come from it.
 *
 * Raw mode must end on every way out, fatal signals included, so the restoring is safe in a handler. The other
 * signals are only noted, and let in only while the client waits: then nothing is ever interrupted half done. */
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#ifdef __APPLE__
#include <mach-o/dyld.h>
#endif

volatile sig_atomic_t interrupted, resized, suspended, continued;
volatile sig_atomic_t tty_is_drawn_on;

static int tty = -1;
static struct termios before; /* how the terminal was when it was first taken */
static volatile sig_atomic_t taken;

enum { NOTED = 4 };
static const int noted[NOTED] = {SIGINT, SIGWINCH, SIGTSTP, SIGCONT};
static const int fatal[] = {SIGHUP, SIGTERM, SIGQUIT, SIGABRT, SIGSEGV, SIGBUS,
                            SIGFPE, SIGILL,  SIGALRM, SIGUSR1, SIGUSR2};
static struct sigaction pipe_before, noted_before[NOTED];
static sigset_t mask_before;
static int begun; /* how many of `noted` are ours */

/* ---- streams and signals ----------------------------------------------------------------------------- */

/* The placeholders are closed at exec: rekall-py finds its streams as they were given to the client. */
void streams_begin(void) {
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, &pipe_before);
    sigprocmask(SIG_BLOCK, NULL, &mask_before);
    int fd;
    while ((fd = open("/dev/null", O_RDWR | O_CLOEXEC)) >= 0 && fd <= STDERR_FILENO) continue;
    if (fd >= 0) close(fd);
}

static void note(int number) {
    if (number == SIGINT) interrupted = 1;
    if (number == SIGWINCH) resized = 1;
    if (number == SIGTSTP) suspended = 1;
    if (number == SIGCONT) continued = 1;
}

static void die(int number) {
    tty_restore(true);
    signal(number, SIG_DFL);
    raise(number); /* comes when this handler returns */
}

static void handle(int number, void (*handler)(int), struct sigaction *old) {
    struct sigaction action = {.sa_handler = handler};
    sigemptyset(&action.sa_mask);
    sigaction(number, NULL, old);
    if (old->sa_handler != SIG_IGN) sigaction(number, &action, NULL);
}

void signals_begin(bool interactive) {
    struct sigaction unused;
    sigset_t set;
    sigemptyset(&set);
    for (begun = 0; begun < (interactive ? NOTED : 1); begun++) {
        sigaddset(&set, noted[begun]);
        handle(noted[begun], note, &noted_before[begun]);
    }
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (size_t i = 0; interactive && i < sizeof fatal / sizeof *fatal; i++) handle(fatal[i], die, &unused);
}

/* The dispositions come first: a SIGINT that waits then does what it always did. */
void signals_restore(void) {
    while (begun) begun--, sigaction(noted[begun], &noted_before[begun], NULL);
    sigaction(SIGPIPE, &pipe_before, NULL);
    sigprocmask(SIG_SETMASK, &mask_before, NULL);
}

int wait_for(int count, fd_set *readable, fd_set *writable, int64_t timeout_ms) {
    const struct timespec timeout = {.tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000};
    return pselect(count, readable, writable, NULL, timeout_ms < 0 ? NULL : &timeout, &mask_before);
}

/* ---- the terminal ------------------------------------------------------------------------------------ */

int tty_open(void) {
    static bool tried;
    if (!tried) tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    tried = true;
    return tty < FD_SETSIZE ? tty : -1;
}

void tty_size(int fd, unsigned *columns, unsigned *rows) {
    struct winsize size = {0};
    if (fd < 0 || ioctl(fd, TIOCGWINSZ, &size)) size.ws_col = size.ws_row = 0;
    *columns = size.ws_col, *rows = size.ws_row;
}

/* In the background this stops the process (SIGTTOU) until it is brought to the front, as it should. */
bool tty_take(void) {
    static bool known;
    if (tty_open() < 0 || (!known && tcgetattr(tty, &before))) return false;
    known = true;
    struct termios raw = before;
    cfmakeraw(&raw);
    taken = 1; /* first: a signal may come between the two */
    if (!tcsetattr(tty, TCSANOW, &raw)) return true;
    taken = 0;
    return false;
}

/* A terminal that another job has in front is not ours to change: trying would only stop us.
 *
 * Abruptly: the app had no time to wipe off what it drew. Its cursor stands in the line that is typed in, the first
 * of what it drew; where nothing was drawn yet, that line is the shell's. */
void tty_restore(bool abruptly) {
    static const char tidy[] = "\x1b[0m\x1b[?25h\x1b[?2004l"; /* plain text, a cursor, pastes as they are */
    static const char wipe[] = "\r\x1b[J";
    if (!taken) return;
    taken = 0;
    if (tcgetpgrp(tty) != getpgrp()) return;
    tcsetattr(tty, TCSANOW, &before);
    if (abruptly && write(tty, tidy, sizeof tidy - 1) < 0) return;
    if (abruptly && tty_is_drawn_on && write(tty, wipe, sizeof wipe - 1) < 0) return;
}

void tty_suspend(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTSTP);
    sigaddset(&set, SIGCONT); /* is noted here, not once more in the next wait */
    tty_restore(true);
    signal(SIGTSTP, SIG_DFL);
    raise(SIGTSTP);
    sigprocmask(SIG_UNBLOCK, &set, NULL); /* stops here */
    sigprocmask(SIG_BLOCK, &set, NULL);
    struct sigaction unused;
    handle(SIGTSTP, note, &unused);
    continued = 1; /* also where the stop was refused: an orphaned group does not stop */
}

/* ---- what runs in the user's own process --------------------------------------------------------------- */

const char *python_path(void) {
    static char path[PATH_SIZE];
    const char name[] = "/rekall-py";
#ifdef __APPLE__
    char given[PATH_SIZE];
    uint32_t size = sizeof given;
    if (_NSGetExecutablePath(given, &size) || !realpath(given, path)) return NULL;
#else
    const ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
    if (size <= 0) return NULL;
    path[size] = '\0';
#endif
    char *end = strrchr(path, '/');
    if (!end || (size_t)(end - path) + sizeof name > sizeof path) return NULL;
    memcpy(end, name, sizeof name);
    return path;
}

/* stdin: the text, else the terminal. While a program of the user's has the terminal, its output goes there
 * too, whatever stdout is: what `$(rekall pick)` catches is the picker's answer, not an editor's screen. */
static void become_program(char *const words[], int text, bool on_terminal) {
    const int input = text >= 0 ? text : tty_open();
    const char *python = python_path();
    const bool own = !strcmp(words[0], "rekall-py") && python;
    signals_restore();
    if (input >= 0) dup2(input, STDIN_FILENO);
    if (on_terminal) dup2(tty, STDOUT_FILENO), dup2(tty, STDERR_FILENO);
    if (own)
        execv(python, words);
    else
        execvp(words[0], words);
    _exit(127);
}

/* A reader that leaves early loses the rest; SIGPIPE is ignored. */
static void write_all(int fd, const char *text, size_t length) {
    while (length) {
        const ssize_t done = write(fd, text, length);
        if (done < 0 && errno != EINTR) return;
        if (done > 0) text += done, length -= (size_t)done;
    }
}

/* The program has the terminal's signals for itself: Ctrl-C in an editor must not end the client. */
int tty_run(char *const words[], const char *text, size_t length) {
    const bool had = taken;
    int ends[2] = {-1, -1}, status = 0;
    if (length && pipe(ends)) return 127;
    for (int i = 0; length && i < 2; i++) fcntl(ends[i], F_SETFD, FD_CLOEXEC);
    tty_restore(false);
    const pid_t child = fork();
    if (!child) become_program(words, ends[0], had);
    if (ends[0] >= 0) close(ends[0]);
    struct sigaction interrupt, quit, stop, quiet = {.sa_handler = SIG_IGN}, plain = {.sa_handler = SIG_DFL};
    sigset_t let_in, mask;
    sigemptyset(&let_in);
    sigaddset(&let_in, SIGTSTP);
    sigaddset(&let_in, SIGINT); /* ignored, but while it is blocked it would wait for us all the same */
    sigaction(SIGINT, &quiet, &interrupt);
    sigaction(SIGQUIT, &quiet, &quit);
    sigaction(SIGTSTP, &plain, &stop); /* Ctrl-Z stops both */
    sigprocmask(SIG_UNBLOCK, &let_in, &mask);
    if (child > 0) write_all(ends[1], text, length);
    if (ends[1] >= 0) close(ends[1]);
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    sigprocmask(SIG_SETMASK, &mask, NULL);
    sigaction(SIGTSTP, &stop, NULL);
    sigaction(SIGQUIT, &quit, NULL);
    sigaction(SIGINT, &interrupt, NULL);
    if (had) tty_take();
    if (child < 0) return 127;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
