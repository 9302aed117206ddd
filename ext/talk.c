/* One conversation with the server: the hello, stdin and keys one way, the answer the other.
 *
 * One loop waits for all of it and never for one side alone, so no two full pipes can wait for each other. Until
 * `G` is sent the server has done nothing, and every trouble ends in rekall-py; after it, only where nothing can
 * have been done. docs/protocol.md holds the tables. */
#include "client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    FRAME_LIMIT = 1 << 20,  /* of what follows the head */
    QUEUE_LIMIT = 1 << 16,  /* no more is read from stdin or the keyboard until the server has taken this */
    CHUNK = 1 << 15,        /* read at once */
    PIECE = 4096,           /* written at once: a pipe that is ready takes so much without blocking (PIPE_BUF) */
    REQUEST_SIZE = 26,
    WORDS_LIMIT = 255,      /* of a program to run */
};
enum { SEND_STDIN = 1, WRITES = 2, INTERACTIVE = 4 }; /* flags of `A` */

struct talk {
    int server;
    struct queue out; /* what the server has not taken yet */
    bool deaf;        /* it takes nothing any more; what it said may still be under way */
    unsigned char in[HEAD + FRAME_LIMIT];
    size_t from, to;
    const unsigned char *text; /* within `in`: output that is being written */
    size_t left;
    int target;
    int flags; /* of `A`; -1 before it */
    char request[REQUEST_SIZE + 1];
    unsigned columns, rows; /* as the server knows them */
    bool gone;              /* `G` is sent */
    bool used;              /* something was printed, taken from stdin or run: it cannot be begun again */
    bool stdin_open, keys_open, cancelled;
    int64_t deadline; /* 0: none */
};

/* ---- what comes back ------------------------------------------------------------------------------------ */

static void put_size(struct talk *talk, bool always) {
    unsigned columns, rows;
    tty_size(tty_open(), &columns, &rows);
    if (!always && columns == talk->columns && rows == talk->rows) return;
    talk->columns = columns, talk->rows = rows;
    const unsigned char size[4] = {(unsigned char)(columns >> 8), (unsigned char)columns, (unsigned char)(rows >> 8),
                                   (unsigned char)rows};
    put_frame(&talk->out, 'W', size, sizeof size);
}

/* What the end of the stream before `X` means. */
static int cut_short(const struct talk *talk) {
    if (talk->flags < 0) return ENDED;
    if (!talk->gone) return LOCALLY;
    const bool writes = talk->flags & WRITES;
    if (!writes && talk->cancelled) return CANCELLED;
    if (!writes && !talk->used) return LOCALLY;
    tty_restore(true);
    if (writes)
        say(OUTCOME_UNKNOWN, talk->request);
    else
        say(CUT_SHORT);
    return FAILED;
}

static int leave_cancelled(const struct talk *talk) {
    tty_restore(true);
    if (talk->flags & WRITES) say(OUTCOME_UNKNOWN, talk->request);
    return CANCELLED;
}

static int misunderstood(const struct talk *talk, unsigned type, size_t length) {
    if (!talk->gone) return LOCALLY;
    if (talk->flags & WRITES) return cut_short(talk);
    tty_restore(true);
    say(NOT_UNDERSTOOD, type, (unsigned long)length);
    return FAILED;
}

static int acknowledge(struct talk *talk, const unsigned char *bytes, size_t length) {
    if (length != 1 + REQUEST_SIZE) return LOCALLY;
    memcpy(talk->request, bytes + 1, REQUEST_SIZE);
    const bool interactive = bytes[0] & INTERACTIVE;
    signals_begin(interactive);
    if (interactive && !tty_take()) return LOCALLY;
    talk->flags = bytes[0];
    talk->stdin_open = talk->flags & SEND_STDIN;
    talk->keys_open = interactive;
    talk->deadline = 0;
    put_frame(&talk->out, 'G', NULL, 0);
    if (interactive) put_size(talk, false);
    return GO_ON;
}

/* `C`: a text's length, the text, words. Returns false where it makes no sense. */
static bool run_program(struct talk *talk, const unsigned char *bytes, size_t length) {
    char *words[WORDS_LIMIT + 1];
    size_t count = 0;
    if (length < 6 || bytes[length - 1]) return false;
    const size_t text = get_length(bytes);
    if (text > length - 6) return false;
    for (const unsigned char *at = bytes + 4 + text; at < bytes + length; at += strlen((const char *)at) + 1) {
        if (count == WORDS_LIMIT) return false;
        words[count++] = (char *)at;
    }
    words[count] = NULL;
    talk->used = true;
    const unsigned char status = (unsigned char)tty_run(words, (const char *)bytes + 4, text);
    put_frame(&talk->out, 'C', &status, 1);
    return true;
}

static int take_frame(struct talk *talk, unsigned char type, const unsigned char *bytes, size_t length) {
    if (talk->flags < 0) return type == 'A' ? acknowledge(talk, bytes, length) : type == 'V' ? OTHER_VERSION : LOCALLY;
    const bool interactive = talk->flags & INTERACTIVE;
    if (type == 'X' && length == 1) return bytes[0];
    if (type == 'C' && run_program(talk, bytes, length)) return GO_ON;
    if (type == 'O' || type == 'R' || (type == 'T' && interactive)) {
        talk->target = type == 'O' ? STDOUT_FILENO : type == 'R' ? STDERR_FILENO : tty_open();
        talk->text = bytes, talk->left = length;
        return GO_ON;
    }
    return misunderstood(talk, type, length);
}

/* Take what has come whole, one after the other: the next when the last one's text is written. */
static int take_frames(struct talk *talk) {
    while (!talk->left && talk->to - talk->from >= HEAD) {
        const unsigned char *head = talk->in + talk->from;
        const size_t length = get_length(head + 1);
        if (length > FRAME_LIMIT) return misunderstood(talk, head[0], length);
        if (talk->to - talk->from < HEAD + length) break;
        talk->from += HEAD + length;
        const int end = take_frame(talk, head[0], head + HEAD, length);
        if (end != GO_ON) return end;
    }
    if (talk->left) return GO_ON; /* it lies in `in` */
    if (talk->from) memmove(talk->in, talk->in + talk->from, talk->to - talk->from);
    talk->to -= talk->from, talk->from = 0;
    return GO_ON;
}

static bool is_passing(void) { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

static int receive(struct talk *talk) {
    const ssize_t got = read(talk->server, talk->in + talk->to, sizeof talk->in - talk->to);
    if (got < 0 && is_passing()) return GO_ON;
    if (got <= 0) return cut_short(talk);
    talk->to += (size_t)got;
    return take_frames(talk);
}

static int write_text(struct talk *talk) {
    const ssize_t done = write(talk->target, talk->text, talk->left < PIECE ? talk->left : PIECE);
    if (done < 0) return is_passing() ? GO_ON : write_failed();
    talk->used = true;
    if (talk->flags & INTERACTIVE && talk->target == tty_open()) tty_is_drawn_on = 1;
    talk->text += done, talk->left -= (size_t)done;
    return talk->left ? GO_ON : take_frames(talk);
}

/* ---- the loop ------------------------------------------------------------------------------------------- */

static void cancel(struct talk *talk) {
    talk->cancelled = true;
    talk->stdin_open = talk->keys_open = false;
    talk->deadline = now_ms() + CANCEL_MS;
    put_frame(&talk->out, 'X', NULL, 0);
}

static int heed_signals(struct talk *talk) {
    if (interrupted) {
        interrupted = 0;
        if (talk->cancelled) return leave_cancelled(talk);
        cancel(talk);
    }
    if (suspended) suspended = 0, tty_suspend();
    if (continued || resized) {
        const bool back = continued;
        continued = resized = 0;
        if (back) tty_take();
        put_size(talk, back);
    }
    return GO_ON;
}

/* Where nothing can be sent any more, what the server said before it went is still to be read. */
static void send_queue(struct talk *talk) {
    while (!talk->deaf && talk->out.from < talk->out.to) {
        const ssize_t done = write(talk->server, talk->out.bytes + talk->out.from, talk->out.to - talk->out.from);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0 && is_passing()) return;
        if (done < 0) {
            talk->deaf = true;
            return;
        }
        talk->out.from += (size_t)done;
        if (talk->flags >= 0) talk->gone = true;
    }
}

/* Read once from stdin or the keyboard and pass it on. */
static int pass_on(struct talk *talk, int fd, char type) {
    char bytes[CHUNK];
    const ssize_t got = read(fd, bytes, sizeof bytes);
    if (got < 0 && is_passing()) return GO_ON;
    if (got > 0) {
        talk->used = true;
        put_frame(&talk->out, type, bytes, (size_t)got);
    } else if (type == 'K') { /* the terminal has gone */
        cancel(talk);
    } else if (got == 0) {
        talk->stdin_open = false;
        put_frame(&talk->out, 'E', NULL, 0);
    } else {
        return fail(strerror(errno)); /* without an `E` the server does nothing with what it has */
    }
    return GO_ON;
}

static void want(fd_set *set, int fd, bool wanted, int *count) {
    if (!wanted) return;
    FD_SET(fd, set);
    if (fd >= *count) *count = fd + 1;
}

/* Wait until something can be done, and do it. */
static int step(struct talk *talk) {
    fd_set readable, writable;
    int count = 0;
    FD_ZERO(&readable);
    FD_ZERO(&writable);
    const size_t queued = talk->out.to - talk->out.from;
    const bool room = !talk->deaf && queued < QUEUE_LIMIT;
    const int64_t left = talk->deadline ? talk->deadline - now_ms() : -1;
    if (talk->deadline && left <= 0) return talk->cancelled ? leave_cancelled(talk) : LOCALLY;
    want(&readable, talk->server, !talk->left, &count);
    want(&writable, talk->server, !talk->deaf && queued, &count);
    want(&readable, STDIN_FILENO, talk->stdin_open && room, &count);
    want(&readable, tty_open(), talk->keys_open && room, &count);
    want(&writable, talk->target, talk->left > 0, &count);
    if (wait_for(count, &readable, &writable, left) < 0) return errno == EINTR ? GO_ON : fail(strerror(errno));
    int end = GO_ON; /* the server last: it may have a program run, which reads what was there to be read here */
    if (talk->stdin_open && FD_ISSET(STDIN_FILENO, &readable)) end = pass_on(talk, STDIN_FILENO, 'I');
    if (end == GO_ON && talk->keys_open && FD_ISSET(tty_open(), &readable)) end = pass_on(talk, tty_open(), 'K');
    if (end == GO_ON && talk->left && FD_ISSET(talk->target, &writable)) end = write_text(talk);
    if (end == GO_ON && FD_ISSET(talk->server, &readable)) end = receive(talk);
    return end;
}

int converse(int server, char *const words[]) {
    static struct talk talk; /* its megabyte is touched only as far as it is used */
    free(talk.out.bytes);
    talk.out = (struct queue){0};
    talk.server = server, talk.flags = -1, talk.deaf = false;
    talk.from = talk.to = talk.left = 0;
    talk.deadline = now_ms() + ANSWER_MS;
    if (!put_hello(&talk.out, words, &talk.columns, &talk.rows)) return LOCALLY;
    int end = GO_ON;
    while (end == GO_ON) {
        send_queue(&talk);
        end = step(&talk);
        if (end == GO_ON) end = heed_signals(&talk);
    }
    return end;
}
