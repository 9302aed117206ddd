/* Which base, and the folder of its server's socket. docs/protocol.md is the specification.
 *
 * rekall/config.py and rekall/places.py find the same for the same environment: tests/data/places.json and
 * tests/c/places_check.c hold both sides to it. Nothing is made or opened here. */
#include "client.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINKS = 40 /* as Linux has it; a longer chain is left to rekall-py */ };

/* ---- the base ---------------------------------------------------------------------------------------- */

/* Write folder/name, or name alone where that is absolute. False: too long, or not absolute. */
static bool join(char path[PATH_SIZE], const char *folder, const char *name) {
    const bool whole = name[0] == '/';
    const int length = snprintf(path, PATH_SIZE, "%s%s%s", whole ? "" : folder, whole ? "" : "/", name);
    return length > 0 && length < PATH_SIZE && path[0] == '/';
}

/* Follow every link of an absolute path as os.path.realpath does: a part that is not there stays as it is,
 * and `..` after it goes back by name. False: too long, or a loop. */
static bool resolve(const char *path, char real[PATH_SIZE]) {
    char rest[PATH_SIZE], link[PATH_SIZE];
    size_t done = 0, links = 0;
    if (strlen(path) >= PATH_SIZE) return false;
    const char *at = strcpy(rest, path);
    for (;;) {
        at += strspn(at, "/");
        const size_t length = strcspn(at, "/");
        if (!length) break;
        const char *name = at;
        at += length;
        if (length == 1 && name[0] == '.') continue;
        if (length == 2 && name[0] == '.' && name[1] == '.') {
            while (done && real[--done] != '/') continue;
            continue;
        }
        if (done + 1 + length >= PATH_SIZE) return false;
        real[done] = '/';
        memcpy(real + done + 1, name, length);
        real[done + 1 + length] = '\0';
        const ssize_t size = readlink(real, link, sizeof link - 1);
        if (size < 0) { /* no link, or nothing at all */
            done += 1 + length;
            continue;
        }
        if (++links > LINKS || (size_t)size + strlen(at) >= sizeof rest) return false;
        memmove(rest + size, at, strlen(at) + 1);
        at = memcpy(rest, link, (size_t)size);
        if (link[0] == '/') done = 0;
    }
    if (!done) real[done++] = '/';
    real[done] = '\0';
    return true;
}

/* Write the user's home: $HOME if it is absolute, else the password database's. */
static bool find_home(char home[PATH_SIZE]) {
    const char *named = getenv("HOME");
    if (!named || named[0] != '/') {
        const struct passwd *user = getpwuid(getuid());
        named = user ? user->pw_dir : "";
    }
    return join(home, "", named) && named[0] == '/';
}

/* Write the nearest .rekall of the working directory or a parent, below home and the user's own. */
static bool find_project(const char *cwd, const char *home, char folder[PATH_SIZE]) {
    char here[PATH_SIZE], top[PATH_SIZE];
    struct stat status;
    if (!resolve(cwd, here) || !resolve(home, top)) return false;
    size_t length = strlen(here);
    const size_t stop = strcmp(top, "/") ? strlen(top) : 0;
    if (length <= stop || strncmp(here, top, stop) || here[stop] != '/' || length == 1) return false;
    while (length > stop) {
        here[length] = '\0';
        if (!join(folder, here, ".rekall")) return false;
        if (!lstat(folder, &status) && S_ISDIR(status.st_mode) && status.st_uid == getuid()) return true;
        while (here[--length] != '/') continue;
    }
    return false;
}

bool find_base(struct place *place, const char *option, bool skip_project) {
    char cwd[PATH_SIZE], home[PATH_SIZE], path[PATH_SIZE], folder[PATH_SIZE];
    const char *data = getenv("XDG_DATA_HOME"), *named = option ? option : getenv("REKALL_DB");
    const bool xdg = data && data[0] == '/';
    if (!getcwd(cwd, sizeof cwd)) cwd[0] = '\0'; /* it is gone: only what is absolute can be found */
    if (named && named[0])
        return (named[0] == '/' || cwd[0] == '/') && join(path, cwd, named) && resolve(path, place->base);
    if ((!skip_project || !xdg) && !find_home(home)) return false;
    if (!skip_project && cwd[0] == '/' && find_project(cwd, home, folder)) {
        struct stat status; /* a link leads out of the project: rekall-py says why that is refused */
        const bool fits = join(path, folder, "rekall.db") && (lstat(path, &status) || S_ISREG(status.st_mode));
        return fits && resolve(path, place->base);
    }
    return join(path, xdg ? data : home, xdg ? "rekall/rekall.db" : ".local/share/rekall/rekall.db") &&
           resolve(path, place->base);
}

/* ---- the folder of its socket ------------------------------------------------------------------------ */

/* FNV-1a, 64 bits. */
static uint64_t hash(const char *text) {
    uint64_t value = 0xcbf29ce484222325u;
    for (; *text; text++) value = (value ^ (unsigned char)*text) * 0x100000001b3u;
    return value;
}

/* Name the folder below parent/name. XDG_RUNTIME_DIR must be the user's own: after `su` it is still the
 * other user's, and a folder that root made there would lock that user out. */
static bool take_root(struct place *place, const char *parent, const char *name, bool own) {
    struct stat status;
    if (!parent || parent[0] != '/' || strlen(parent) + 1 + strlen(name) > ROOT_LIMIT) return false;
    if (stat(parent, &status) || !S_ISDIR(status.st_mode) || (own && status.st_uid != getuid())) return false;
    const unsigned long long named = hash(place->base);
    return snprintf(place->folder, FOLDER_SIZE, "%s/%s/%016llx", parent, name, named) < FOLDER_SIZE;
}

bool find_folder(struct place *place) {
    char name[32];
    snprintf(name, sizeof name, "rekall-%lu", (unsigned long)getuid());
    return take_root(place, getenv("XDG_RUNTIME_DIR"), "rekall", true) ||
           take_root(place, getenv("TMPDIR"), name, false) || take_root(place, "/tmp", name, false);
}
