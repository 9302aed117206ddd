/* What a process does to the disk below one folder: counted, stopped at the nth, refused from the nth on, or noted.
 *
 * Loaded before a real program (LD_PRELOAD), so that the program itself has nothing in it that only tests use. It is
 * told by variables:
 *   FAULTS_BELOW=FOLDER   looks at files below this folder only
 *   FAULTS_AT=N           what happens, happens at the Nth deed from here (1 is the first); 0 or none: nothing
 *   FAULTS_HOW=kill       SIGKILL before the deed
 *              torn       half of what is to be written is, then SIGKILL; a deed that writes nothing is done first
 *              full       from the Nth on, every deed that takes room fails with ENOSPC
 *              error      the Nth alone fails with EIO
 *   FAULTS_IN=WORD        only in processes one of whose words is WORD
 *   FAULTS_TRACE=FILE     every deed is noted in FILE: see tests/faults.py, which reads it
 *
 * Each process counts by itself. SQLite's shared memory (-shm) is left out: it is nothing that has to last. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static char below[4096];
static size_t below_length;
static long at, deeds;
static enum { NONE, KILL, TORN, FULL, ERROR } how;
static int trace = -1;

#define REAL(name) __typeof__(name) *real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

static int has_word(const char *word) {
    char words[65536];
    int file = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t size = file < 0 ? 0 : read(file, words, sizeof words - 1);
    if (file >= 0) close(file);
    for (ssize_t place = 0; place < size; place += (ssize_t)strlen(words + place) + 1) {
        words[size] = 0;
        if (strcmp(words + place, word) == 0) return 1;
    }
    return 0;
}

__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("FAULTS_BELOW"), *number = getenv("FAULTS_AT"), *way = getenv("FAULTS_HOW");
    const char *word = getenv("FAULTS_IN"), *file = getenv("FAULTS_TRACE");
    if (!folder || (word && *word && !has_word(word))) return;
    if (file && *file) trace = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    at = number ? atol(number) : 0;
    how = !way ? NONE : !strcmp(way, "kill") ? KILL : !strcmp(way, "torn") ? TORN : !strcmp(way, "full") ? FULL : ERROR;
    snprintf(below, sizeof below, "%s/", folder);
    below_length = strlen(below);
}

static int is_watched(const char *path) {
    size_t length = strlen(path);
    if (!below_length) return 0;
    if (strncmp(path, below, below_length) && (strncmp(path, below, below_length - 1) || length != below_length - 1)) return 0;
    return length < 4 || strcmp(path + length - 4, "-shm") != 0;
}

/* Write the path of an open file into `path`; tell whether it is one to look at. */
static int of_file(int file, char path[4096]) {
    char name[64];
    if (!below_length) return 0;
    snprintf(name, sizeof name, "/proc/self/fd/%d", file);
    ssize_t size = readlink(name, path, 4095);
    if (size < 0) return 0;
    path[size] = 0;
    return is_watched(path);
}

static int of_path(int folder, const char *given, char path[4096]) {
    if (!below_length) return 0;
    char start[4096] = "";
    if (given[0] != '/') {
        if (folder == AT_FDCWD) {
            if (!getcwd(start, sizeof start - 1)) return 0;
        } else {
            char name[64];
            snprintf(name, sizeof name, "/proc/self/fd/%d", folder);
            ssize_t size = readlink(name, start, sizeof start - 1);
            if (size < 0) return 0;
            start[size] = 0;
        }
    }
    if (snprintf(path, 4096, "%s%s%s", start, *start ? "/" : "", given) >= 4096) return 0;
    return is_watched(path);
}

/* Note one deed: kind, inode, offset, and what belongs to it. One write, so that deeds of several processes do not mix. */
static void note(char kind, uint64_t inode, uint64_t offset, const char *path, const void *data, size_t size) {
    if (trace < 0) return;
    REAL(write);
    size_t length = strlen(path), whole = 33 + length + size;
    char *record = malloc(whole);
    if (!record) abort();
    uint64_t head[4] = {inode, offset, length, size};
    record[0] = kind;
    memcpy(record + 1, head, sizeof head);
    memcpy(record + 33, path, length);
    if (size) memcpy(record + 33 + length, data, size);
    if (real(trace, record, whole) != (ssize_t)whole) abort();
    free(record);
}

static uint64_t inode_of(int file) {
    struct stat found;
    return fstat(file, &found) ? 0 : found.st_ino;
}

static uint64_t inode_at(const char *path) {
    struct stat found;
    return lstat(path, &found) ? 0 : found.st_ino;
}

/* Count a deed. Return the errno it is to fail with, 0 if it is to be done, -1 if it is to be done and then be the last. */
static int counted(int takes_room) {
    long number = __atomic_add_fetch(&deeds, 1, __ATOMIC_SEQ_CST);
    if (!at || how == NONE || number < at) return 0;
    if (how == FULL) return takes_room ? ENOSPC : 0;
    if (number > at) return 0;
    if (how == KILL) kill(getpid(), SIGKILL);
    if (how == ERROR) return EIO;
    return -1;
}

static void end(int last) {
    if (last == -1) kill(getpid(), SIGKILL);
}

#define FAIL_IF(said) do { if ((said) > 0) { errno = (said); return -1; } } while (0)

ssize_t write(int file, const void *data, size_t size) {
    REAL(write);
    char path[4096];
    if (!size || !of_file(file, path)) return real(file, data, size);
    int said = counted(1);
    FAIL_IF(said);
    struct stat found;
    off_t place = fcntl(file, F_GETFL) & O_APPEND ? (fstat(file, &found) ? 0 : found.st_size) : lseek(file, 0, SEEK_CUR);
    size_t part = said == -1 && size > 1 ? size / 2 : size;
    note('W', inode_of(file), (uint64_t)place, path, data, part);
    ssize_t done = real(file, data, part);
    end(said);
    return done;
}

static ssize_t write_at(int file, const void *data, size_t size, off_t place, ssize_t (*real)(int, const void *, size_t, off_t)) {
    char path[4096];
    if (!of_file(file, path)) return real(file, data, size, place);
    int said = counted(1);
    FAIL_IF(said);
    size_t part = said == -1 && size > 1 ? size / 2 : size;
    note('W', inode_of(file), (uint64_t)place, path, data, part);
    ssize_t done = real(file, data, part, place);
    end(said);
    return done;
}

ssize_t pwrite(int file, const void *data, size_t size, off_t place) {
    REAL(pwrite);
    return write_at(file, data, size, place, real);
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t place) {
    REAL(pwrite64);
    return write_at(file, data, size, place, real);
}

static int synced(int file, int (*real)(int)) {
    char path[4096];
    if (!of_file(file, path)) return real(file);
    int said = counted(0);
    FAIL_IF(said);
    int done = real(file);
    if (!done) note('S', inode_of(file), 0, path, "", 0);
    end(said);
    return done;
}

int fsync(int file) {
    REAL(fsync);
    return synced(file, real);
}

int fdatasync(int file) {
    REAL(fdatasync);
    return synced(file, real);
}

static int cut(int file, off_t size, int (*real)(int, off_t)) {
    char path[4096];
    if (!of_file(file, path)) return real(file, size);
    int said = counted(1);
    FAIL_IF(said);
    note('T', inode_of(file), (uint64_t)size, path, "", 0);
    int done = real(file, size);
    end(said);
    return done;
}

int ftruncate(int file, off_t size) {
    REAL(ftruncate);
    return cut(file, size, real);
}

int ftruncate64(int file, off64_t size) {
    REAL(ftruncate64);
    return cut(file, size, real);
}

/* Opening is a deed only where it makes a file. */
static int opened(int folder, const char *given, int flags, mode_t mode, int (*real)(int, const char *, int, ...)) {
    char path[4096];
    if (!(flags & O_CREAT) || !of_path(folder, given, path) || inode_at(path)) {
        if ((flags & O_TRUNC) && below_length && of_path(folder, given, path)) note('T', inode_at(path), 0, path, "", 0);
        return real(folder, given, flags, mode);
    }
    int said = counted(1);
    FAIL_IF(said);
    int file = real(folder, given, flags, mode);
    if (file >= 0) note('C', inode_of(file), 0, path, "", 0);
    end(said);
    return file;
}

#define MODE(mode, flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); }

static int real_openat(int folder, const char *path, int flags, ...) {
    MODE(mode, flags)
    REAL(openat);
    return real(folder, path, flags, mode);
}

int open(const char *path, int flags, ...) {
    MODE(mode, flags)
    return opened(AT_FDCWD, path, flags, mode, real_openat);
}

int open64(const char *path, int flags, ...) {
    MODE(mode, flags)
    return opened(AT_FDCWD, path, flags | O_LARGEFILE, mode, real_openat);
}

int openat(int folder, const char *path, int flags, ...) {
    MODE(mode, flags)
    return opened(folder, path, flags, mode, real_openat);
}

int openat64(int folder, const char *path, int flags, ...) {
    MODE(mode, flags)
    return opened(folder, path, flags | O_LARGEFILE, mode, real_openat);
}

/* The names of files. `data` of a rename or a link is the new path. */
static int renamed(int from_folder, const char *from, int to_folder, const char *to, int (*real)(int, const char *, int, const char *)) {
    char old[4096], new[4096];
    int is_ours = of_path(from_folder, from, old) & of_path(to_folder, to, new);
    if (!is_ours) return real(from_folder, from, to_folder, to);
    int said = counted(1);
    FAIL_IF(said);
    uint64_t inode = inode_at(old);
    int done = real(from_folder, from, to_folder, to);
    if (!done) note('R', inode, 0, old, new, strlen(new));
    end(said);
    return done;
}

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    REAL(renameat);
    return renamed(from_folder, from, to_folder, to, real);
}

int rename(const char *from, const char *to) {
    REAL(renameat);
    return renamed(AT_FDCWD, from, AT_FDCWD, to, real);
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    REAL(linkat);
    char old[4096], new[4096];
    if (!(of_path(from_folder, from, old) & of_path(to_folder, to, new))) return real(from_folder, from, to_folder, to, flags);
    int said = counted(1);
    FAIL_IF(said);
    int done = real(from_folder, from, to_folder, to, flags);
    if (!done) note('L', inode_at(old), 0, old, new, strlen(new));
    end(said);
    return done;
}

int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

static int unlinked(int folder, const char *given, int flags, int (*real)(int, const char *, int)) {
    char path[4096];
    if (!of_path(folder, given, path)) return real(folder, given, flags);
    int said = counted(0);
    FAIL_IF(said);
    uint64_t inode = inode_at(path);
    int done = real(folder, given, flags);
    if (!done) note('U', inode, 0, path, "", 0);
    end(said);
    return done;
}

int unlinkat(int folder, const char *path, int flags) {
    REAL(unlinkat);
    return unlinked(folder, path, flags, real);
}

int unlink(const char *path) {
    REAL(unlinkat);
    return unlinked(AT_FDCWD, path, 0, real);
}
