/* preflight.c - see preflight.h. */
#include "server/preflight.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/address.h"
#include "base/check.h"
#include "io/storage.h"
#include "io/storage_directory.h"

#define IN_USE "the address is in use"

static bool no(char *reason, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Says why, and is false. */
static bool no(char *reason, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(reason, PREFLIGHT_REASON_BYTES, format, args);
    va_end(args);
    return false;
}

/* ---- Paths ---- */

/* A path by its folder's true name, so that two ways to write one path are the same; the path
 * itself need not be there. False: its folder is not. */
static bool true_path(const char *path, char out[PATH_MAX])
{
    CHECK(path != NULL);
    char copies[2][PATH_MAX];
    char folder[PATH_MAX];
    if (realpath(path, out)) {
        return true;
    }
    if (strlen(path) >= sizeof copies[0]) {
        return false;
    }
    snprintf(copies[0], sizeof copies[0], "%s", path);
    snprintf(copies[1], sizeof copies[1], "%s", path);
    if (!realpath(dirname(copies[0]), folder)) {
        return false;
    }
    int used = snprintf(out, PATH_MAX, "%s/%s", strcmp(folder, "/") == 0 ? "" : folder,
                        basename(copies[1]));
    return used > 0 && used < PATH_MAX;
}

static bool same_path(const char *a, const char *b)
{
    char first[PATH_MAX];
    char second[PATH_MAX];
    return true_path(a, first) && true_path(b, second) && strcmp(first, second) == 0;
}

/* Whether a path's folder is the data directory, which is not there yet and will be in time. */
static bool will_be_in(const char *data, const char *path)
{
    char copy[PATH_MAX];
    if (access(data, F_OK) == 0 || strlen(path) >= sizeof copy) {
        return false;
    }
    snprintf(copy, sizeof copy, "%s", path);
    return same_path(dirname(copy), data);
}

/* Of a path without a / in the end. */
static const char *last_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* A folder that files shall be made in. what: "the folder ", "". */
static bool folder_fits(const char *what, const char *folder, char *reason)
{
    struct stat about;
    if (stat(folder, &about) != 0) {
        return errno == ENOENT ? no(reason, "there is no %s%s", what, folder)
                               : no(reason, "%s%s: %s", what, folder, strerror(errno));
    }
    if (!S_ISDIR(about.st_mode)) {
        return no(reason, "%s%s is not a directory", what, folder);
    }
    if (about.st_nlink == 0) { /* as the working directory may be */
        return no(reason, "%s%s has been removed", what, folder);
    }
    if (access(folder, W_OK | X_OK) != 0) {
        return no(reason, "%s%s can't be written to: %s", what, folder, strerror(errno));
    }
    return true;
}

/* A directory that is there, or that can be made: not its parents. */
static bool directory_fits(const char *setting, const char *path, char *reason)
{
    struct stat about;
    char why[PREFLIGHT_REASON_BYTES - 512];
    if (lstat(path, &about) == 0) {
        if (S_ISLNK(about.st_mode) && stat(path, &about) != 0) {
            return no(reason, "%s: %s is a link to what can't be had: %s", setting, path,
                      strerror(errno));
        }
        return folder_fits("", path, why) || no(reason, "%s: %s", setting, why);
    }
    if (errno != ENOENT || strlen(path) >= PATH_MAX) {
        return no(reason, "%s: %s: %s", setting, path,
                  strerror(errno == ENOENT ? ENAMETOOLONG : errno));
    }
    char copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", path);
    return folder_fits("", dirname(copy), why) ||
           no(reason, "%s: %s can't be made: %s", setting, path, why);
}

/* ---- Addresses ---- */

static bool bind_fits(const struct addrinfo *to, const struct address *address, char *reason)
{
    const int yes = 1;
    int fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return errno == EMFILE || errno == ENFILE ||
               no(reason, "this machine does not speak its protocol: %s", strerror(errno));
    }
    /* A listener of ours may be bound where one was that is gone, and so may this. */
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    int error = bind(fd, to->ai_addr, to->ai_addrlen) == 0 ? 0 : errno;
    close(fd);
    switch (error) {
    case 0:
        return true;
    case EADDRINUSE:
        return no(reason, IN_USE);
    case EADDRNOTAVAIL:
        return no(reason, "no interface of this machine has the address %s", address->host);
    case EACCES:
        return no(reason, "port %u is for privileged users: it takes CAP_NET_BIND_SERVICE",
                  address->port);
    default:
        return no(reason, "%s", strerror(error));
    }
}

static bool tcp_fits(const struct address *address, char *reason)
{
    CHECK(!address->ipc);
    char port[8];
    const struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
                                   .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    snprintf(port, sizeof port, "%u", address->port);
    int error = getaddrinfo(address->host[0] ? address->host : NULL, port, &hints, &found);
    if (error != 0) {
        return no(reason, "host %s can't be resolved: %s", address->host,
                  error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error));
    }
    /* A name may stand for addresses that this machine does not have: one that serves is enough. */
    bool fits = bind_fits(found, address, reason);
    for (const struct addrinfo *next = found->ai_next; !fits && next; next = next->ai_next) {
        fits = bind_fits(next, address, reason);
    }
    freeaddrinfo(found);
    return fits;
}

/* A socket's file that nobody listens on is no hindrance: connecting is refused, and it is
 * replaced. A listener's is of another type than what connects here, and says so without a
 * connection: to connect and hang up may stop an nng 1.5.2 listener (rpc/probe.c). */
static bool socket_is_left(const char *path, char *reason)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    static_assert(ADDRESS_PATH_MAX < sizeof address.sun_path, "any path that is an address fits");
    CHECK(strlen(path) < sizeof address.sun_path);
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return true;
    }
    int error = connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ? 0 : errno;
    close(fd);
    if (error == 0 || error == EPROTOTYPE || error == EAGAIN) {
        return no(reason, IN_USE);
    }
    return error == ECONNREFUSED || error == ENOENT ||
           no(reason, "a socket is there that can't be checked: %s", strerror(error));
}

static bool ipc_fits(const char *path, const char *data, char *reason)
{
    char copy[ADDRESS_PATH_MAX + 1];
    struct stat about;
    if (lstat(path, &about) == 0) {
        if (!S_ISSOCK(about.st_mode)) {
            return no(reason, "%s is there, and is not a socket: it is left alone", path);
        }
        if (!socket_is_left(path, reason)) {
            return false;
        }
    }
    if (data && will_be_in(data, path)) {
        return true;
    }
    snprintf(copy, sizeof copy, "%s", path);
    return folder_fits("folder ", dirname(copy), reason);
}

bool preflight_address(const char *url, const char *data, char *reason)
{
    struct address address;
    char fault[ADDRESS_REASON_BYTES];
    if (!address_parse(url, ADDRESS_LISTEN, &address, fault)) {
        return no(reason, "%s", fault);
    }
    return address.ipc ? ipc_fits(address.path, data, reason) : tcp_fits(&address, reason);
}

/* An address as numbers, the first that its name stands for. Where it stands for none: as it is. */
static struct address in_numbers(const char *url)
{
    struct address address = {0};
    char fault[ADDRESS_REASON_BYTES];
    const struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    if (!address_parse(url, ADDRESS_LISTEN, &address, fault) || address.ipc || address.port == 0 ||
        getaddrinfo(address.host[0] ? address.host : NULL, NULL, &hints, &found) != 0) {
        return address;
    }
    char host[sizeof address.host];
    if (getnameinfo(found->ai_addr, found->ai_addrlen, host, sizeof host, NULL, 0,
                    NI_NUMERICHOST) == 0) {
        memcpy(address.host, host, sizeof host);
    }
    freeaddrinfo(found);
    return address;
}

/* Two names of one address: each could be listened on, but not both. Those whose texts tell are
 * refused before (config_check). */
static bool no_other_has(const struct config_addresses *all, unsigned at, char *reason)
{
    CHECK(at < all->count);
    struct address mine = in_numbers(all->urls[at]);
    for (unsigned other = 0; other < at; other++) {
        struct address its = in_numbers(all->urls[other]);
        if (address_same(&its, &mine) || (its.ipc && mine.ipc && same_path(its.path, mine.path))) {
            return no(reason, "%s has %.200s, which is the same address", all->settings[other],
                      all->urls[other]);
        }
    }
    return true;
}

/* ---- All of it ---- */

/* Another engine's directory is the better reason than an address in use, so it is reported first.
 * The lock is only checked here, and taken later. */
static bool nobody_has(const char *setting, const char *directory, char *reason)
{
    enum storage_lock_state state = storage_lock_state(directory);
    if (state == STORAGE_LOCK_UNFIT) {
        return no(reason, "%s: %s/LOCK is no file that could be locked", setting, directory);
    }
    return state != STORAGE_LOCK_HELD ||
           no(reason, "%s: %s: %s", setting, directory, hf_status_text(HF_LOCKED));
}

static bool data_fits(const char *data, char *reason)
{
    char log[CONFIG_TEXT_BYTES + 8];
    struct stat about;
    if (!directory_fits("data", data, reason)) {
        return false;
    }
    snprintf(log, sizeof log, "%s/wal", data);
    if (lstat(log, &about) == 0 && !directory_fits("data", log, reason)) {
        return false;
    }
    return nobody_has("data", data, reason);
}

/* An archive is one engine's: two would take each other's unfinished copies for leftovers. Opening
 * it removes leftovers, so the log's own folder is refused before. */
static bool archive_fits(const struct config *config, char *reason)
{
    const char *archive = config->archive_dir;
    char log[CONFIG_TEXT_BYTES + 8];
    if (archive[0] == '\0') {
        return true;
    }
    snprintf(log, sizeof log, "%s/wal", config->data);
    bool inside = will_be_in(config->data, archive);
    if (same_path(archive, config->data) || same_path(archive, log) ||
        (inside && strcmp(last_name(archive), "wal") == 0)) {
        return no(reason, "archive-dir: %s is the engine's own directory", archive);
    }
    if (inside) {
        return true;
    }
    return directory_fits("archive-dir", archive, reason) &&
           nobody_has("archive-dir", archive, reason);
}

/* The soft limit will be raised to the hard one. With too few an engine may start, and then can't
 * make its next segment. */
static bool files_fit(char *reason)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_max >= SERVER_FILES_LEAST ||
           no(reason, "the process may have only %llu files open (RLIMIT_NOFILE): it takes %u",
              (unsigned long long)limit.rlim_max, SERVER_FILES_LEAST);
}

bool preflight(const struct config *config, char *reason)
{
    char why[PREFLIGHT_REASON_BYTES];
    struct config_addresses all;
    if (!files_fit(reason) || !data_fits(config->data, reason) || !archive_fits(config, reason)) {
        return false;
    }
    config_addresses(config, &all);
    for (unsigned i = 0; i < all.count; i++) {
        if (!preflight_address(all.urls[i], config->data, why) || !no_other_has(&all, i, why)) {
            return no(reason, "%s: can't listen on %.200s: %.1024s", all.settings[i], all.urls[i],
                      why);
        }
    }
    return true;
}
