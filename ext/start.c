/* Reaching the server, and starting one. docs/protocol.md is the specification.
 *
 * Nothing here trusts a folder that somebody else could have had a hand in, nor a process of another user. Of many
 * clients that find no server one starts it; the server itself makes sure that it is the only one. */
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif

extern char **environ;

/* ---- the folder of the socket ------------------------------------------------------------------------ */

/* Say what makes a folder unsafe. True: nothing does. */
static bool is_safe(const struct stat *status, const char *shown) {
    if (!S_ISDIR(status->st_mode))
        say(NO_FOLDER, shown);
    else if (status->st_uid != getuid())
        say(NOT_OURS, shown, (unsigned long)status->st_uid);
    else if (status->st_mode & 077)
        say(OPEN_TO_OTHERS, shown, (unsigned)(status->st_mode & 07777), shown);
    else
        return true;
    return false;
}

/* Open a folder that nobody else can have a hand in; make it if asked to. -1: there is none, or it is refused. */
static int open_folder(int parent, const char *name, const char *shown, bool make) {
    struct stat status;
    int folder;
    while ((folder = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0) {
        if (errno != ENOENT) {
            if (!fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW)) is_safe(&status, shown);
            return -1;
        }
        if (!make || (mkdirat(parent, name, 0700) && errno != EEXIST)) return -1;
        make = false;
    }
    if (!fstat(folder, &status) && is_safe(&status, shown)) return folder;
    close(folder);
    return -1;
}

/* ---- a connection ------------------------------------------------------------------------------------ */

/* -1 with ENOENT or ECONNREFUSED: nobody listens. A full backlog (EAGAIN) is waited for, within limits. */
static int connect_to(struct place *place) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat status;
    const int length = snprintf(address.sun_path, sizeof address.sun_path, "%s/s", place->folder);
    if (length < 0 || (size_t)length >= sizeof address.sun_path) return errno = ENAMETOOLONG, -1;
    place->socket_id = stat(address.sun_path, &status) ? 0 : (int64_t)status.st_ino;
    const int server = socket(AF_UNIX, SOCK_STREAM, 0);
    if (server < 0) return -1;
    int error = server < FD_SETSIZE ? 0 : EMFILE;
    if (fcntl(server, F_SETFD, FD_CLOEXEC) || fcntl(server, F_SETFL, O_NONBLOCK)) error = errno;
    const int64_t deadline = now_ms() + ANSWER_MS;
    while (!error && connect(server, (struct sockaddr *)&address, sizeof address)) {
        error = errno == EINTR || (errno == EAGAIN && now_ms() < deadline) ? 0 : errno;
        if (!error) poll(NULL, 0, 5);
    }
    if (!error) return server;
    close(server);
    errno = error;
    return -1;
}

static bool nobody_listens(void) { return errno == ENOENT || errno == ECONNREFUSED; }

static bool is_own_server(int server) {
#ifdef SO_PEERCRED
    struct ucred peer;
    socklen_t size = sizeof peer;
    return !getsockopt(server, SOL_SOCKET, SO_PEERCRED, &peer, &size) && peer.uid == getuid();
#else
    uid_t user;
    gid_t group;
    return !getpeereid(server, &user, &group) && user == getuid();
#endif
}

/* ---- a start ----------------------------------------------------------------------------------------- */

static void close_from(int first) {
#ifdef SYS_close_range
    if (!syscall(SYS_close_range, (unsigned)first, ~0u, 0u)) return;
#endif
    const long limit = sysconf(_SC_OPEN_MAX); /* may be a thousand million */
    for (int fd = first; fd < (limit > 0 && limit < 65536 ? limit : 65536); fd++) close(fd);
}

/* Turn this process into the server: a session of its own that has nothing of its starter but a few variables. */
static void become_server(const struct place *place, const char *python, int ready) {
    static const char *const kept[] = {"HOME=",   "PATH=",          "USER=",         "LANG=",    "LC_",
                                       "XDG_",    "TMPDIR=",        "REKALL_CONFIG=", "REKALL_KERNEL=",
                                       "HF_HOME=", "SENTENCE_TRANSFORMERS_HOME=",     NULL};
    setsid();
    for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    const int null = open("/dev/null", O_RDWR);
    if (ready == 3) fcntl(ready, F_SETFD, 0);
    if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0 || dup2(ready, 3) < 0) _exit(127);
    close_from(4);
    if (chdir("/")) _exit(127);
    size_t count = 0, have = 0;
    while (environ[count]) count++;
    char **variables = calloc(count + 1, sizeof *variables);
    for (size_t i = 0; variables && i < count; i++)
        if (is_named(environ[i], kept)) variables[have++] = environ[i];
    const char *words[] = {python, "--db", place->base, "server", "run", "--ready", "3", NULL};
    if (variables) execve(python, (char *const *)words, variables);
    _exit(127);
}

/* Start a server and wait until it listens. False: it will not, or not by then. */
static bool launch(const struct place *place, int64_t deadline) {
    const char *python = python_path();
    int ready[2];
    if (!python || pipe(ready)) return false;
    fcntl(ready[0], F_SETFD, FD_CLOEXEC);
    fcntl(ready[1], F_SETFD, FD_CLOEXEC);
    const pid_t child = fork();
    if (!child) {
        if (!fork()) become_server(place, python, ready[1]);
        _exit(0); /* the server is nobody's child: no zombie is left */
    }
    close(ready[1]);
    while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR) continue;
    struct pollfd wait = {ready[0], POLLIN, 0};
    char byte;
    int64_t left;
    while ((left = deadline - now_ms()) > 0 && poll(&wait, 1, (int)left) < 0 && errno == EINTR) continue;
    const bool listens = wait.revents && read(ready[0], &byte, 1) == 1;
    close(ready[0]);
    return listens;
}

/* One starts it; the others wait for that. Waiting and starting together may take no longer than one start: where
 * starts fail, many clients would else wait for each other's, one after the other. */
static int start_server(struct place *place, int folder) {
    const int lock = openat(folder, "start.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0) return -1;
    const int64_t deadline = now_ms() + START_MS;
    int server = -1;
    bool held;
    while (!(held = !flock(lock, LOCK_EX | LOCK_NB)) && (errno == EWOULDBLOCK || errno == EINTR)) {
        if ((server = connect_to(place)) >= 0 || now_ms() >= deadline) break;
        poll(NULL, 0, 10);
    }
    if (held && (server = connect_to(place)) < 0 && nobody_listens() && launch(place, deadline))
        server = connect_to(place);
    close(lock);
    return server;
}

int reach_server(struct place *place, bool may_start) {
    char root[FOLDER_SIZE];
    strcpy(root, place->folder);
    char *name = strrchr(root, '/');
    *name++ = '\0';
    const int parent = open_folder(AT_FDCWD, root, root, may_start);
    if (parent < 0) return -1;
    const int folder = open_folder(parent, name, place->folder, may_start);
    close(parent);
    if (folder < 0) return -1;
    int server = connect_to(place);
    if (server < 0 && may_start && nobody_listens()) server = start_server(place, folder);
    close(folder);
    if (server < 0 || is_own_server(server)) return server;
    say(NOT_OUR_SERVER, place->folder);
    close(server);
    return -1;
}

bool wait_until_gone(const struct place *place) {
    char path[FOLDER_SIZE + 2];
    struct stat status;
    snprintf(path, sizeof path, "%s/s", place->folder);
    for (const int64_t deadline = now_ms() + START_MS; now_ms() < deadline; poll(NULL, 0, 5))
        if (stat(path, &status) || (int64_t)status.st_ino != place->socket_id) return true;
    return false;
}
