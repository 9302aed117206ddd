/* Frames for the server, and the first of them, the hello. docs/protocol.md is the specification.
 *
 * What is to be sent waits in a queue that grows: only the conversation knows when the server takes more. */
#include "client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef REKALL_VERSION
#error "REKALL_VERSION: setup.py takes it from rekall/__init__.py"
#endif

extern char **environ;

static void put(struct queue *queue, const void *bytes, size_t length) {
    if (queue->to + length > queue->size && queue->from) {
        memmove(queue->bytes, queue->bytes + queue->from, queue->to - queue->from);
        queue->to -= queue->from, queue->from = 0;
    }
    if (queue->to + length > queue->size) {
        queue->size = 2 * (queue->to + length);
        if (!(queue->bytes = realloc(queue->bytes, queue->size))) _exit(fail(strerror(ENOMEM)));
    }
    if (length) memcpy(queue->bytes + queue->to, bytes, length);
    queue->to += length;
}

static void put_text(struct queue *queue, const char *text) { put(queue, text, strlen(text) + 1); }

static void put_number(struct queue *queue, size_t number) {
    char text[24];
    snprintf(text, sizeof text, "%zu", number);
    put_text(queue, text);
}

static void set_length(unsigned char *at, size_t length) {
    for (int i = 0; i < 4; i++) at[i] = (unsigned char)(length >> (24 - 8 * i));
}

size_t get_length(const unsigned char *at) {
    return (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
}

void put_frame(struct queue *queue, char type, const void *bytes, size_t length) {
    unsigned char head[HEAD] = {(unsigned char)type};
    set_length(head + 1, length);
    put(queue, head, sizeof head);
    put(queue, bytes, length);
}

bool put_hello(struct queue *out, char *const words[], unsigned *columns, unsigned *rows) {
    static const char *const sent[] = {"HOME=", "LANG=", "LANGUAGE=", "LC_", "NO_COLOR=", "FORCE_COLOR=", "TERM=", "TZ=", "COLUMNS=",
                                       "XDG_CONFIG_HOME=", "XDG_DATA_HOME=", "XDG_STATE_HOME=", "REKALL_", NULL};
    char cwd[PATH_SIZE], terminals[5] = "", *end = terminals;
    put_frame(out, 'H', NULL, 0);
    put_text(out, "1");
    put_text(out, REKALL_VERSION);
    put_text(out, getcwd(cwd, sizeof cwd) && cwd[0] == '/' ? cwd : "");
    for (int fd = 0; fd < 3; fd++)
        if (isatty(fd)) *end++ = "ioe"[fd];
    if (tty_open() >= 0) *end = 't';
    put_text(out, terminals);
    tty_size(isatty(STDOUT_FILENO) ? STDOUT_FILENO : tty_open(), columns, rows);
    put_number(out, *columns);
    put_number(out, *rows);
    size_t count = 0;
    for (char **at = environ; *at; at++) count += is_named(*at, sent);
    put_number(out, count);
    for (char **at = environ; *at; at++)
        if (is_named(*at, sent)) put_text(out, *at);
    for (; *words; words++) put_text(out, *words);
    set_length((unsigned char *)out->bytes + 1, out->to - HEAD);
    return out->to - HEAD <= HELLO_LIMIT;
}

