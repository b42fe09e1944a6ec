/* preflight_test.c - whether an engine can start here, without anybody noticing the question.
 *
 * Threads: one. */
#include "server/preflight.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/storage_directory.h"
#include "lib/tempdir.h"

static char reason[PREFLIGHT_REASON_BYTES];

static bool fits(const char *url)
{
    reason[0] = '\0';
    return preflight_address(url, NULL, reason);
}

/* A socket at the path after ipc://. */
static int bind_at(const char *url, int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert_true(strlen(url + 6) < sizeof address.sun_path);
    memcpy(address.sun_path, url + 6, strlen(url + 6));
    int fd = socket(AF_UNIX, type | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void preflight_finds_a_listener_at_a_path_without_connecting(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    char url[256];
    snprintf(url, sizeof url, "ipc://%s/socket", dir);
    assert_true(fits(url)); /* nothing there */
    int fd = bind_at(url, SOCK_STREAM);
    assert_int_equal(listen(fd, 8), 0);
    assert_false(fits(url));
    assert_string_equal(reason, "the address is in use");
    assert_int_equal(accept(fd, NULL, NULL), -1);
    assert_int_equal(errno, EAGAIN); /* nobody has come */
    close(fd);
    assert_true(fits(url)); /* a file that nobody listens on */
    tempdir_remove(dir);
}

static void preflight_finds_any_socket_at_a_path(void **state)
{
    static const int types[] = {SOCK_DGRAM, SOCK_SEQPACKET};
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        char *dir = tempdir_make();
        char url[256];
        snprintf(url, sizeof url, "ipc://%s/socket", dir);
        int fd = bind_at(url, types[i]);
        assert_false(fits(url));
        assert_string_equal(reason, "the address is in use");
        close(fd);
        assert_true(fits(url));
        tempdir_remove(dir);
    }
}

/* A socket that listens on a port of its own. */
static int listen_on_tcp(unsigned *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t bytes = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static void preflight_tells_the_reasons_of_tcp_apart(void **state)
{
    char url[64];
    unsigned port;
    (void)state;
    int fd = listen_on_tcp(&port);
    snprintf(url, sizeof url, "tcp://127.0.0.1:%u", port);
    assert_false(fits(url));
    assert_string_equal(reason, "the address is in use");
    snprintf(url, sizeof url, "tcp://*:%u", port);
    assert_false(fits(url));
    assert_string_equal(reason, "the address is in use");
    close(fd);
    assert_true(fits(url));
    /* RFC 5737: for documentation, nobody's interface has it. */
    assert_false(fits("tcp://192.0.2.1:7411"));
    assert_string_equal(reason, "no interface of this machine has the address 192.0.2.1");
    /* RFC 6761: never resolved. */
    assert_false(fits("tcp://nowhere.invalid:7411"));
    assert_non_null(strstr(reason, "host nowhere.invalid can't be resolved: "));
    assert_false(fits("tcp://127.0.0.1:70000"));
    assert_non_null(strstr(reason, "port 70000"));
}

static void preflight_tells_the_reasons_of_paths_apart(void **state)
{
    char url[256];
    struct stat before;
    struct stat after;
    (void)state;
    char *dir = tempdir_make();
    char *file = tempdir_join(dir, "file");
    int fd = open(file, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &before), 0);
    snprintf(url, sizeof url, "ipc://%s/none/x.sock", dir);
    assert_false(fits(url));
    assert_non_null(strstr(reason, "there is no folder "));
    snprintf(url, sizeof url, "ipc://%s/x.sock", file);
    assert_false(fits(url));
    assert_non_null(strstr(reason, "is not a directory"));
    snprintf(url, sizeof url, "ipc://%s", file);
    assert_false(fits(url));
    assert_non_null(strstr(reason, "is not a socket: it is left alone"));
    snprintf(url, sizeof url, "ipc://%s", dir);
    assert_false(fits(url));
    assert_non_null(strstr(reason, "is not a socket: it is left alone"));
    assert_int_equal(fstat(fd, &after), 0);
    assert_int_equal(after.st_nlink, 1);
    assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
    close(fd);
    free(file);
    tempdir_remove(dir);
}

static struct config config;

/* What a check says of a data directory, with a socket on a path of its own. */
static bool data_fits(const char *data, const char *archive)
{
    char error[1024];
    config_init(&config);
    assert_true(config_set(&config, "data", data, false, error, sizeof error));
    assert_true(config_set(&config, "archive-dir", archive, false, error, sizeof error));
    assert_true(config_set(&config, "listen", "tcp://127.0.0.1:0", false, error, sizeof error));
    return preflight(&config, reason);
}

static void preflight_looks_at_directories_and_makes_none(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    char *data = tempdir_join(dir, "data");
    char *file = tempdir_join(dir, "file");
    char *link_path = tempdir_join(dir, "link");
    char *deep = tempdir_join(dir, "none/data");
    int fd = open(file, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_true(data_fits(data, ""));
    assert_int_equal(access(data, F_OK), -1);
    assert_false(data_fits(deep, ""));
    assert_non_null(strstr(reason, "data: "));
    assert_non_null(strstr(reason, "can't be made: there is no "));
    assert_false(data_fits(file, ""));
    assert_non_null(strstr(reason, "is not a directory"));
    assert_int_equal(symlink("none", link_path), 0);
    assert_false(data_fits(link_path, ""));
    assert_non_null(strstr(reason, "is a link to what can't be had"));
    assert_false(data_fits(data, file));
    assert_non_null(strstr(reason, "archive-dir: "));
    assert_false(data_fits(data, data));
    assert_non_null(strstr(reason, "own directory"));
    assert_true(data_fits(data, dir));
    free(deep);
    free(link_path);
    free(file);
    free(data);
    tempdir_remove(dir);
}

/* The data directory that there is not yet will be there in time, however it is written. */
static void preflight_lets_a_socket_be_in_the_directory_to_come(void **state)
{
    char url[512];
    (void)state;
    char *dir = tempdir_make();
    char *data = tempdir_join(dir, "data");
    snprintf(url, sizeof url, "ipc://%s/../%s/data/x.sock", dir, strrchr(dir, '/') + 1);
    assert_true(preflight_address(url, data, reason));
    snprintf(url, sizeof url, "ipc://%s/other/x.sock", dir);
    assert_false(preflight_address(url, data, reason));
    assert_false(preflight_address(url, NULL, reason));
    free(data);
    tempdir_remove(dir);
}

static void preflight_finds_whose_directory_it_is(void **state)
{
    int lock;
    (void)state;
    char *dir = tempdir_make();
    assert_int_equal(storage_lock(dir, &lock), HF_OK);
    assert_false(data_fits(dir, ""));
    assert_non_null(strstr(reason, hf_status_text(HF_LOCKED)));
    storage_unlock(lock);
    assert_true(data_fits(dir, ""));
    tempdir_remove(dir);
}

/* The log's folder as well as the data directory, there or still to be made, however written. */
static void preflight_takes_no_folder_of_the_engines_own_for_an_archive(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    char *data = tempdir_join(dir, "data");
    char *log = tempdir_join(dir, "data/wal");
    char *other = tempdir_join(dir, "data/old");
    char *round = tempdir_join(dir, "data/../data/wal");
    for (int there = 0; there < 2; there++) {
        if (there) {
            assert_int_equal(mkdir(data, 0700), 0);
            assert_int_equal(mkdir(log, 0700), 0);
        }
        const char *const own[] = {data, log, there ? round : log};
        for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
            assert_false(data_fits(data, own[i]));
            assert_non_null(strstr(reason, "is the engine's own directory"));
        }
        assert_true(data_fits(data, other));
        assert_true(data_fits(data, dir));
    }
    free(round);
    free(other);
    free(log);
    free(data);
    tempdir_remove(dir);
}

static void preflight_finds_whose_archive_it_is(void **state)
{
    (void)state;
    int lock;
    char *dir = tempdir_make();
    char *data = tempdir_join(dir, "data");
    char *archive = tempdir_join(dir, "archive");
    assert_int_equal(mkdir(archive, 0700), 0);
    assert_int_equal(storage_lock(archive, &lock), HF_OK);
    assert_false(data_fits(data, archive));
    assert_non_null(strstr(reason, "archive-dir: "));
    assert_non_null(strstr(reason, hf_status_text(HF_LOCKED)));
    storage_unlock(lock);
    assert_true(data_fits(data, archive));
    free(archive);
    free(data);
    tempdir_remove(dir);
}

static void preflight_takes_no_other_file_for_a_lock(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    char *lock = tempdir_join(dir, "LOCK");
    assert_int_equal(mkfifo(lock, 0600), 0); /* to open it would wait for somebody */
    assert_false(data_fits(dir, ""));
    assert_non_null(strstr(reason, "LOCK is no file that could be locked"));
    assert_int_equal(unlink(lock), 0);
    assert_int_equal(mkdir(lock, 0700), 0);
    assert_false(data_fits(dir, ""));
    assert_int_equal(rmdir(lock), 0);
    assert_int_equal(symlink("LOCK", lock), 0);
    assert_false(data_fits(dir, ""));
    free(lock);
    tempdir_remove(dir);
}

static bool both_fit(const char *data, const char *first, const char *second)
{
    char error[1024];
    config_init(&config);
    assert_true(config_set(&config, "data", data, false, error, sizeof error));
    assert_true(config_set(&config, "listen", first, false, error, sizeof error));
    assert_true(config_set(&config, "listen", second, false, error, sizeof error));
    assert_true(config_check(&config, error, sizeof error)); /* their texts differ */
    return preflight(&config, reason);
}

static void preflight_finds_two_names_of_one_address(void **state)
{
    (void)state;
    char numbers[64];
    char paths[2][256];
    unsigned port;
    char *dir = tempdir_make();
    close(listen_on_tcp(&port));
    struct addrinfo *found;
    assert_int_equal(getaddrinfo("localhost", NULL, NULL, &found), 0);
    bool v6 = found->ai_family == AF_INET6;
    freeaddrinfo(found);
    snprintf(numbers, sizeof numbers, "tcp://%s:%u", v6 ? "[::1]" : "127.0.0.1", port);
    char name[64];
    snprintf(name, sizeof name, "tcp://localhost:%u", port);
    assert_false(both_fit(dir, numbers, name));
    assert_non_null(strstr(reason, "which is the same address"));
    snprintf(paths[0], sizeof paths[0], "ipc://%s/x.sock", dir);
    snprintf(paths[1], sizeof paths[1], "ipc://%s/./x.sock", dir);
    assert_false(both_fit(dir, paths[0], paths[1]));
    assert_non_null(strstr(reason, "which is the same address"));
    assert_true(both_fit(dir, "tcp://127.0.0.1:0", "tcp://localhost:0"));
    tempdir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(preflight_finds_a_listener_at_a_path_without_connecting),
        cmocka_unit_test(preflight_finds_any_socket_at_a_path),
        cmocka_unit_test(preflight_tells_the_reasons_of_tcp_apart),
        cmocka_unit_test(preflight_tells_the_reasons_of_paths_apart),
        cmocka_unit_test(preflight_looks_at_directories_and_makes_none),
        cmocka_unit_test(preflight_lets_a_socket_be_in_the_directory_to_come),
        cmocka_unit_test(preflight_finds_whose_directory_it_is),
        cmocka_unit_test(preflight_takes_no_folder_of_the_engines_own_for_an_archive),
        cmocka_unit_test(preflight_finds_whose_archive_it_is),
        cmocka_unit_test(preflight_takes_no_other_file_for_a_lock),
        cmocka_unit_test(preflight_finds_two_names_of_one_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
