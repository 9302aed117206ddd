/* Any bytes in place of a server: converse() ends with a status, whatever it is told, however it comes.
 *
 * The first byte says how the rest comes: its low bit whether a good acknowledgement goes before it, the others how
 * many bytes a read gives at most (0: all there are). The terminal is /dev/null, and nothing is ever run. */
#define _GNU_SOURCE
#include "../../ext/client.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

volatile sig_atomic_t interrupted, resized, suspended, continued, tty_is_drawn_on;
static size_t piece;

ssize_t __real_read(int fd, void *bytes, size_t length);
ssize_t __wrap_read(int fd, void *bytes, size_t length);
ssize_t __wrap_read(int fd, void *bytes, size_t length) {
    return __real_read(fd, bytes, piece && piece < length ? piece : length);
}

/* ---- in place of tty.c ---- */

const char *python_path(void) { return NULL; }
void streams_begin(void) {}
void signals_begin(bool interactive) { (void)interactive; }
void signals_restore(void) {}
int wait_for(int count, fd_set *readable, fd_set *writable, int64_t timeout_ms) {
    const struct timespec soon = {.tv_nsec = 1000000};
    (void)timeout_ms;
    return pselect(count, readable, writable, NULL, &soon, NULL);
}
int tty_open(void) {
    static int null = -1;
    if (null < 0) null = open("/dev/null", O_RDWR | O_CLOEXEC);
    return null;
}
void tty_size(int fd, unsigned *columns, unsigned *rows) { (void)fd, *columns = 80, *rows = 24; }
bool tty_take(void) { return true; }
void tty_restore(bool abruptly) { (void)abruptly; }
void tty_suspend(void) {}
int tty_run(char *const words[], const char *text, size_t length) {
    size_t sum = 0; /* what a program would be given is all there */
    for (; *words; words++) sum += strlen(*words);
    for (size_t i = 0; i < length; i++) sum += (unsigned char)text[i];
    return (int)(sum & 127);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char good[] = "A\0\0\0\x1b\0"
                               "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    static char word[] = "search", *words[] = {word, NULL};
    int ends[2];
    const int room = 4 << 20;
    if (!size || size > 1 << 16 || socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) return 0;
    setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    fcntl(ends[1], F_SETFL, O_NONBLOCK); /* what does not fit is not sent */
    if (data[0] & 1) {
        char reply[sizeof good - 1];
        memcpy(reply, good, sizeof reply);
        reply[5] = (char)(data[0] >> 1 & 7);
        if (write(ends[1], reply, sizeof reply) < 0) abort();
    }
    if (size > 1 && write(ends[1], data + 1, size - 1) < 0) abort();
    shutdown(ends[1], SHUT_WR);
    piece = data[0] >> 4;
    const int end = converse(ends[0], words);
    piece = 0;
    if (end < OTHER_VERSION || end == GO_ON || end > 255) abort();
    close(ends[0]);
    close(ends[1]);
    return 0;
}
